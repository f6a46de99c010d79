"""What can go wrong around a lab.

LabError
+-- LabBusy        it runs already, or its name is somebody else's
+-- NoLab          it does not run
+-- StartFailed    a part of it did not come up; the message ends with the last lines of that part's log
+-- CommandFailed  a `sluice` command answered with an error
"""


class LabError(Exception):
    """Base of all errors here; the text is for the person at the terminal."""


class LabBusy(LabError):
    pass


class NoLab(LabError):
    pass


class StartFailed(LabError):
    pass


class CommandFailed(LabError):
    def __init__(self, command: str, exit_code: int, output: str) -> None:
        super().__init__(f"`{command}` ended with exit code {exit_code}:\n{output.rstrip()}")
        self.exit_code = exit_code
        self.output = output
