"""The command line of `sluice switch`."""

from pathlib import Path

import pytest

from switch.options import USAGE_ERROR, TlsFiles, parse


def test_a_command_line_of_simple_switch_grpc() -> None:
    line = """
        -i 1@s1-eth1 --interface 2@s1-eth2 --pcap=pcaps --nanolog ipc://log.ipc --device-id 3 program.json
        --log-console --thrift-port 9090 -- --grpc-server-addr 0.0.0.0:50051 --cpu-port 255
    """
    options = parse(line.split())
    assert options.interfaces == {1: "s1-eth1", 2: "s1-eth2"}
    assert options.program == Path("program.json")
    assert options.device_id == 3
    assert options.address == "0.0.0.0:50051"
    assert options.cpu_port == 255
    assert options.log_console
    assert options.pcap == Path("pcaps")
    assert options.ignored == ("--nanolog", "--thrift-port")


def test_the_defaults() -> None:
    options = parse(["--no-p4"])
    assert options.program is None
    assert options.interfaces == {}
    assert options.device_id == 1
    assert options.address == "127.0.0.1:9559"
    assert options.cpu_port is None
    assert options.tls is None
    assert options.packets_address is None
    assert options.pcap is None
    assert options.ignored == ()


def test_pcap_takes_no_word_of_its_own() -> None:
    """As with the reference switch: its folder comes behind "="."""
    options = parse(["--pcap", "program.json"])
    assert options.program == Path("program.json")
    assert options.pcap == Path()


def test_tls() -> None:
    line = "--no-p4 -- --grpc-server-ssl --grpc-server-cert c --grpc-server-key k --grpc-server-cacert a"
    assert parse(line.split()).tls == TlsFiles(Path("c"), Path("k"), Path("a"), with_client_auth=False)
    options = parse([*line.split(), "--grpc-server-with-client-auth"])
    assert options.tls == TlsFiles(Path("c"), Path("k"), Path("a"), with_client_auth=True)


def test_packets_by_grpc_are_not_recorded() -> None:
    options = parse(
        ["--no-p4", "--pcap", "--", "--dp-grpc-server-addr", "127.0.0.1:0", "--max-mc-groups", "9"]
    )
    assert options.packets_address == "127.0.0.1:0"
    assert options.ignored == ("--pcap", "--max-mc-groups")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "give a BMv2 JSON, or --no-p4"),
        ("--no-p4 program.json", "contradict each other"),
        ("--no-p4 -i veth1", "-i veth1: should be PORT@INTERFACE, for example 1@veth1"),
        ("--no-p4 -i x@veth1", "should be PORT@INTERFACE"),
        ("--no-p4 -i 1@", "should be PORT@INTERFACE"),
        ("--no-p4 -i 511@veth1", "port numbers are 0 to 510"),
        ("--no-p4 -i 1@veth1 -i 1@veth2", "port 1 is veth1 already"),
        ("--no-p4 -i 1@veth1 -i 2@veth1", "veth1 is another port already"),
        ("--no-p4 --device-id x", "--device-id"),
        ("--no-p4 --cpu-port 255", "--cpu-port"),  # a target option: it belongs behind --
        ("--no-p4 -- --cpu-port 0", "--cpu-port 0: should be 1 to 510"),
        ("--no-p4 -- --cpu-port 511", "--cpu-port 511: should be 1 to 510"),
        ("--no-p4 -i 5@veth1 -- --cpu-port 5", "--cpu-port 5: that is the port of veth1"),
        ("--no-p4 -- --drop-port 100", "the drop port of this switch is always 511"),
        ("--no-p4 -- --grpc-server-ssl", "--grpc-server-cert is missing"),
        ("--no-p4 -- --grpc-server-ssl --grpc-server-cert c", "--grpc-server-key is missing"),
        ("--no-p4 -- --grpc-server-cert c", "--grpc-server-cert means nothing without --grpc-server-ssl"),
        ("--no-p4 -- --grpc-server-with-client-auth", "means nothing without --grpc-server-ssl"),
        (
            "--no-p4 -- --grpc-server-ssl --grpc-server-cert c --grpc-server-key k "
            "--grpc-server-with-client-auth",
            "--grpc-server-cacert is missing",
        ),
        ("--no-p4 -L loud", "loud"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments.split())
    assert caught.value.code == USAGE_ERROR
    said = capsys.readouterr().err
    assert says in said
    assert "Try: sluice switch --help" in said


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "sluice switch --no-p4 -i 1@veth1" in said
    assert "--cpu-port" in said
