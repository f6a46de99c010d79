/* What a disk holds of a file after a power failure: what was synced. Loaded before the C library, this keeps
 * a copy of each file below SLUICE_DISK as it was at its last fsync or fdatasync, under its name and ".disk".
 *
 * A file "dies" beside it holds a digit: so many instants from now, one before and one after each sync, the
 * process is killed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* The path of a regular file on the disk; 0 for any other file. */
static int on_disk(int file, char path[PATH_MAX])
{
    const char *folder = getenv("SLUICE_DISK");
    char link[64];
    struct stat state;

    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (!folder || length <= 0 || fstat(file, &state) != 0 || !S_ISREG(state.st_mode))
        return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static void keep(const char *path)
{
    char copy[PATH_MAX + 8], fresh[PATH_MAX + 8];
    struct stat state;

    snprintf(copy, sizeof copy, "%s.disk", path);
    snprintf(fresh, sizeof fresh, "%s.fresh", path);
    int to = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600), from = open(path, O_RDONLY);
    int whole = to >= 0 && from >= 0 && fstat(from, &state) == 0;
    for (off_t done = 0; whole && done < state.st_size;)
        whole = sendfile(to, from, &done, state.st_size - done) > 0;
    close(from);
    close(to);
    if (whole)
        rename(fresh, copy);
}

static void perhaps_die(const char *path)
{
    char order[PATH_MAX + 8], left;

    snprintf(order, sizeof order, "%.*s/dies", (int)(strrchr(path, '/') - path), path);
    int file = open(order, O_RDWR);
    if (file < 0)
        return;
    if (pread(file, &left, 1, 0) == 1 && left-- > '0' && pwrite(file, &left, 1, 0) == 1 && left == '0')
        kill(getpid(), SIGKILL);
    close(file);
}

static int synced(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char path[PATH_MAX];
    int ours = on_disk(file, path);
    if (ours)
        perhaps_die(path);
    int result = real(file);
    if (ours && result == 0) {
        keep(path);
        perhaps_die(path);
    }
    return result;
}

int fsync(int file) { return synced("fsync", file); }
int fdatasync(int file) { return synced("fdatasync", file); }
