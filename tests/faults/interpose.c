/* Interposed between a process and libc (LD_PRELOAD): counts what the process does to a directory tree, and at one of these
 * operations stops it, or lets the operation fail.
 *
 * Owns which calls count, the roles of processes and the harm that is done. Knows nothing of jobs.
 *
 * FAULTS_ROOT   the tree, an absolute path without links
 * FAULTS_LOG    a file outside of it, to which a line goes for each operation: "role number call path"
 * FAULTS_WORKER what stands in the command line of a worker: its role is "supervisor", that of what it forks "child", and so on
 * FAULTS_PLAN   "role number harm", where harm is one of
 *                 kill    SIGKILL before the operation
 *                 torn    of a write only the first half is written, then SIGKILL
 *                 power   as kill, the process that forked it goes, too; what was written and not synced is lost: such files
 *                         are empty
 *                 N       the operation fails with errno N, once
 *                 N+      it and all later ones of the process fail with errno N; what is deleted is deleted
 *
 * A process that was not started as a worker has no role, and nothing it does counts, until it calls faults_begin(role).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *roles[] = {"supervisor", "child", "task"};
static char root[PATH_MAX], log_path[PATH_MAX], role[32];
static char planned_role[32], harm[16];
static int planned, depth, count, broken, active;

/* ---- files that were written to and not synced */

#define MOST 256
static char *unsynced[MOST];

static void forget(const char *path) {
    for (int i = 0; i < MOST; i++)
        if (unsynced[i] && strcmp(unsynced[i], path) == 0) {
            free(unsynced[i]);
            unsynced[i] = NULL;
        }
}

static void remember(const char *path) {
    forget(path);
    for (int i = 0; i < MOST; i++)
        if (!unsynced[i]) {
            unsynced[i] = strdup(path);
            return;
        }
}

static void renamed(const char *from, const char *to) {
    size_t length = strlen(from);
    forget(to);
    for (int i = 0; i < MOST; i++)
        if (unsynced[i] && strncmp(unsynced[i], from, length) == 0 && strchr("/", unsynced[i][length])) {
            char moved[2 * PATH_MAX];
            snprintf(moved, sizeof moved, "%s%s", to, unsynced[i] + length);
            free(unsynced[i]);
            unsynced[i] = strdup(moved);
        }
}

/* ---- roles */

static void read_plan(void) {
    const char *plan = getenv("FAULTS_PLAN");
    planned = 0;
    if (plan)
        sscanf(plan, "%31s %d %15s", planned_role, &planned, harm);
}

static void take_role(const char *name) {
    snprintf(role, sizeof role, "%s", name);
    count = broken = 0;
    memset(unsynced, 0, sizeof unsynced);
}

static void in_child(void) {
    if (!role[0] || depth < 0) {
        role[0] = 0;
        return;
    }
    depth++;
    take_role(depth < 3 ? roles[depth] : "");
}

void faults_begin(const char *name) {
    read_plan();
    take_role(name);
    depth = -1; /* what a session forks is not the session */
}

__attribute__((constructor)) static void begin(void) {
    const char *tree = getenv("FAULTS_ROOT"), *file = getenv("FAULTS_LOG"), *worker = getenv("FAULTS_WORKER");
    char line[4096];
    if (!tree || !file || !worker)
        return;
    snprintf(root, sizeof root, "%s", tree);
    snprintf(log_path, sizeof log_path, "%s", file);
    active = 1;
    pthread_atfork(NULL, NULL, in_child);
    int fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
    ssize_t length = syscall(SYS_read, fd, line, sizeof line - 1);
    syscall(SYS_close, fd);
    for (ssize_t i = 0; i < length; i++)
        if (!line[i])
            line[i] = ' ';
    line[length > 0 ? length : 0] = 0;
    if (strstr(line, worker)) {
        read_plan();
        take_role(roles[0]);
    }
}

/* ---- what counts */

/* The absolute path of an operation, or NULL if it is none of the tree. Only the last part may be a link. */
static const char *within(int directory, const char *path, char *whole) {
    if (!active || !role[0])
        return NULL;
    if (path[0] == '/')
        snprintf(whole, PATH_MAX, "%s", path);
    else {
        char link[64], base[PATH_MAX];
        if (directory == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
        if (length <= 0)
            return NULL;
        base[length] = 0;
        snprintf(whole, PATH_MAX, *path ? "%s/%s" : "%s", base, path);
    }
    size_t length = strlen(root);
    return strncmp(whole, root, length) == 0 && (!whole[length] || whole[length] == '/') ? whole : NULL;
}

static const char *of_descriptor(int fd, char *whole) { return within(fd, "", whole); }

static void die(int with_power) {
    if (with_power) {
        if (strcmp(role, "child") == 0 || strcmp(role, "task") == 0)
            syscall(SYS_kill, syscall(SYS_getppid), SIGKILL);
        for (int i = 0; i < MOST; i++)
            if (unsynced[i])
                syscall(SYS_truncate, unsynced[i], 0);
    }
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

/* Whether an operation takes no room, so that a full disk or a quota does not stand in its way. */
static int takes_nothing(const char *call, const char *path) {
    return strcmp(call, "open") == 0 && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

/* Count an operation; return the errno that it is to fail with, 0 if it is to be done, -1 if half of it. */
static int strike(const char *call, const char *path, int deletes) {
    char line[2 * PATH_MAX];
    count++;
    int length = snprintf(line, sizeof line, "%s %d %s %s\n", role, count, call, path + strlen(root));
    int fd = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        syscall(SYS_write, fd, line, length);
        syscall(SYS_close, fd);
    }
    if (broken && !deletes && (broken == EROFS || !takes_nothing(call, path)))
        return broken;
    if (!planned || count != planned || strcmp(role, planned_role) != 0)
        return 0;
    if (strcmp(harm, "torn") == 0)
        return -1;
    if (strcmp(harm, "kill") == 0 || strcmp(harm, "power") == 0)
        die(harm[0] == 'p');
    int number = atoi(harm);
    if (strchr(harm, '+'))
        broken = number;
    return number;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(value)                                                                                                              \
    do {                                                                                                                         \
        int failure = value;                                                                                                     \
        if (failure > 0) {                                                                                                       \
            errno = failure;                                                                                                     \
            return -1;                                                                                                           \
        }                                                                                                                        \
    } while (0)

/* An operation on a path, or on a descriptor. */
#define ON_PATH(directory, path, call, deletes)                                                                                  \
    char whole[PATH_MAX];                                                                                                        \
    const char *found = within(directory, path, whole);                                                                          \
    if (found)                                                                                                                   \
        FAIL(strike(call, found, deletes))

static int opened(const char *name, int directory, const char *path, int flags, mode_t mode) {
    if ((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC)) {
        ON_PATH(directory, path, name, 0);
    }
    return syscall(SYS_openat, directory, path, flags, mode);
}

#define MODE(flags)                                                                                                              \
    mode_t mode = 0;                                                                                                             \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {                                                                   \
        va_list rest;                                                                                                            \
        va_start(rest, flags);                                                                                                   \
        mode = va_arg(rest, mode_t);                                                                                             \
        va_end(rest);                                                                                                            \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened("open", AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened("open", AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
    MODE(flags)
    return opened("open", directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
    MODE(flags)
    return opened("open", directory, path, flags, mode);
}

/* A write: half of it is `half`, all of it `whole_of_it`. */
#define WRITTEN(call, fd, counts, half, whole_of_it)                                                                             \
    char whole[PATH_MAX];                                                                                                        \
    const char *path = (counts) ? of_descriptor(fd, whole) : NULL;                                                               \
    if (path) {                                                                                                                  \
        int number = strike(call, path, 0);                                                                                      \
        if (number < 0) {                                                                                                        \
            half;                                                                                                                \
            die(0);                                                                                                              \
        }                                                                                                                        \
        FAIL(number);                                                                                                            \
        remember(path);                                                                                                          \
    }                                                                                                                            \
    return whole_of_it

ssize_t write(int fd, const void *data, size_t size) {
    WRITTEN("write", fd, size, syscall(SYS_write, fd, data, size / 2), syscall(SYS_write, fd, data, size));
}

ssize_t writev(int fd, const struct iovec *parts, int count_of_parts) {
    WRITTEN("writev", fd, 1, syscall(SYS_writev, fd, parts, count_of_parts / 2), syscall(SYS_writev, fd, parts, count_of_parts));
}

static ssize_t pwritten(int fd, const void *data, size_t size, off_t offset) {
    WRITTEN("pwrite", fd, 1, syscall(SYS_pwrite64, fd, data, size / 2, offset), syscall(SYS_pwrite64, fd, data, size, offset));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwritten(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwritten(fd, data, size, offset); }

#define ON_DESCRIPTOR(result, name, types, values)                                                                               \
    result name types {                                                                                                          \
        ON_PATH(fd, "", #name, 0);                                                                                               \
        return REAL(name) values;                                                                                                \
    }

ON_DESCRIPTOR(int, fchmod, (int fd, mode_t mode), (fd, mode))
ON_DESCRIPTOR(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
ON_DESCRIPTOR(int, ftruncate, (int fd, off_t size), (fd, size))
ON_DESCRIPTOR(int, ftruncate64, (int fd, off64_t size), (fd, size))

static int synced(const char *name, int fd) {
    ON_PATH(fd, "", name, 0);
    if (found)
        forget(found);
    return 0;
}

/* The tests' machine does not lose power: what would be synced is noted, and its time not spent. */
int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }

#define TWO_PATHS(result, name, types, values, first, from, second, to, after)                                                   \
    result name types {                                                                                                          \
        char one[PATH_MAX], two[PATH_MAX];                                                                                       \
        const char *source = within(first, from, one), *target = within(second, to, two);                                        \
        if (source || target)                                                                                                    \
            FAIL(strike(#name, target ? target : source, 0));                                                                    \
        result done = REAL(name) values;                                                                                         \
        if (done == 0 && source && target)                                                                                       \
            after(source, target);                                                                                               \
        return done;                                                                                                             \
    }

static void linked(const char *from, const char *to) {
    for (int i = 0; i < MOST; i++)
        if (unsynced[i] && strcmp(unsynced[i], from) == 0) {
            remember(to);
            return;
        }
}

TWO_PATHS(int, rename, (const char *from, const char *to), (from, to), AT_FDCWD, from, AT_FDCWD, to, renamed)
TWO_PATHS(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), a, from, b, to, renamed)
TWO_PATHS(int, link, (const char *from, const char *to), (from, to), AT_FDCWD, from, AT_FDCWD, to, linked)
TWO_PATHS(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), a, from, b, to, linked)

#define ONE_PATH(name, types, values, directory, path, deletes)                                                                  \
    int name types {                                                                                                             \
        ON_PATH(directory, path, #name, deletes);                                                                                \
        if (deletes && found)                                                                                                    \
            forget(found);                                                                                                       \
        return REAL(name) values;                                                                                                \
    }

ONE_PATH(mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path, 0)
ONE_PATH(mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode), fd, path, 0)
ONE_PATH(chmod, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path, 0)
ONE_PATH(fchmodat, (int fd, const char *path, mode_t mode, int flags), (fd, path, mode, flags), fd, path, 0)
ONE_PATH(utimensat, (int fd, const char *path, const struct timespec times[2], int flags), (fd, path, times, flags), fd, path, 0)
ONE_PATH(symlink, (const char *target, const char *path), (target, path), AT_FDCWD, path, 0)
ONE_PATH(unlink, (const char *path), (path), AT_FDCWD, path, 1)
ONE_PATH(unlinkat, (int fd, const char *path, int flags), (fd, path, flags), fd, path, 1)
ONE_PATH(rmdir, (const char *path), (path), AT_FDCWD, path, 1)
