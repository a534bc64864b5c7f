/* Records what a process does to the files of one folder: an LD_PRELOAD library for test_power_cut.

   RECORD_FOLDER names the folder, RECORD_TO the file that the records go to. A record is

       char kind; uint16 length of the name; int64 number; int64 length of the data; name; data

   in the machine's byte order. Kinds: 'w' data was written at the offset `number`; 't' the file was
   cut to `number` bytes; 'c' the file was created; 'u' it was removed; 's' the file, or the folder
   with the name ".", was flushed, and what was recorded before record `number` is on the disk;
   'f' the flush failed, and what was recorded before is dropped. RECORD_FAIL is the number of the
   flush of a log, counted from 1, that fails.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FD 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static size_t folder_length;
static int out = -1;
static int64_t records;
static int flushes_to_go = -1;
static char *names[MAX_FD];

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

typedef int (*open_type)(const char *, int, ...);
typedef int (*int_type)(int);
typedef ssize_t (*pwrite_type)(int, const void *, size_t, off_t);
typedef ssize_t (*write_type)(int, const void *, size_t);
typedef int (*truncate_type)(int, off_t);
typedef int (*path_type)(const char *);

__attribute__((constructor)) static void begin(void) {
    folder = getenv("RECORD_FOLDER");
    folder_length = folder ? strlen(folder) : 0;
    if (getenv("RECORD_FAIL")) flushes_to_go = atoi(getenv("RECORD_FAIL"));
    if (folder)
        out = REAL(open_type, "open")(getenv("RECORD_TO"), O_WRONLY | O_CREAT | O_APPEND, 0600);
}

/* Returns a file's name within the folder, "." for the folder, NULL for what is elsewhere. */
static const char *inside(const char *path) {
    if (!folder || !path || strncmp(path, folder, folder_length)) return NULL;
    if (!path[folder_length]) return ".";
    return path[folder_length] == '/' ? path + folder_length + 1 : NULL;
}

static const char *name_of(int fd) { return fd >= 0 && fd < MAX_FD ? names[fd] : NULL; }

static void record(char kind, const char *name, int64_t number, const void *data, int64_t length) {
    write_type real = REAL(write_type, "write");
    uint16_t name_length = strlen(name);
    char head[19];
    head[0] = kind;
    memcpy(head + 1, &name_length, 2);
    memcpy(head + 3, &number, 8);
    memcpy(head + 11, &length, 8);
    if (real(out, head, 19) != 19 || real(out, name, name_length) != name_length) abort();
    if (length && real(out, data, length) != length) abort();
    records++;
}

static int opened(open_type real, const char *path, int flags, mode_t mode) {
    const char *name = inside(path);
    struct stat status;
    int is_new, fd;
    if (!name) return real(path, flags, mode);
    pthread_mutex_lock(&lock);
    is_new = (flags & O_CREAT) && stat(path, &status) != 0;
    fd = real(path, flags, mode);
    if (fd >= 0 && fd < MAX_FD) {
        free(names[fd]);
        names[fd] = strdup(name);
        if (is_new) record('c', name, 0, NULL, 0);
        if (flags & O_TRUNC) record('t', name, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(symbol)                                      \
    int symbol(const char *path, int flags, ...) {        \
        va_list rest;                                     \
        mode_t mode;                                      \
        va_start(rest, flags);                            \
        mode = (flags & O_CREAT) ? va_arg(rest, int) : 0; \
        va_end(rest);                                     \
        return opened(REAL(open_type, #symbol), path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    int result;
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < MAX_FD) {
        free(names[fd]);
        names[fd] = NULL;
    }
    result = REAL(int_type, "close")(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static ssize_t written(pwrite_type real, int fd, const void *data, size_t length, off_t offset) {
    ssize_t result;
    if (!name_of(fd)) return real(fd, data, length, offset);
    pthread_mutex_lock(&lock);
    result = real(fd, data, length, offset);
    if (result > 0) record('w', names[fd], offset, data, result);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return written(REAL(pwrite_type, "pwrite"), fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
    return written(REAL(pwrite_type, "pwrite64"), fd, data, length, offset);
}

ssize_t write(int fd, const void *data, size_t length) {
    write_type real = REAL(write_type, "write");
    ssize_t result;
    off_t offset;
    if (!name_of(fd)) return real(fd, data, length);
    pthread_mutex_lock(&lock);
    offset = lseek(fd, 0, SEEK_CUR);
    result = real(fd, data, length);
    if (result > 0) record('w', names[fd], offset, data, result);
    pthread_mutex_unlock(&lock);
    return result;
}

static int cut(truncate_type real, int fd, off_t length) {
    int result;
    if (!name_of(fd)) return real(fd, length);
    pthread_mutex_lock(&lock);
    result = real(fd, length);
    if (!result) record('t', names[fd], length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length) { return cut(REAL(truncate_type, "ftruncate"), fd, length); }
int ftruncate64(int fd, off_t length) { return cut(REAL(truncate_type, "ftruncate64"), fd, length); }

static int flushed(int_type real, int fd) {
    int64_t before;
    int result;
    char *name;
    pthread_mutex_lock(&lock);
    name = name_of(fd) ? strdup(names[fd]) : NULL;
    before = records;
    if (name && strstr(name, "-wal") && --flushes_to_go == 0) {
        record('f', name, before, NULL, 0);
        pthread_mutex_unlock(&lock);
        free(name);
        errno = EIO;
        return -1;
    }
    pthread_mutex_unlock(&lock);
    result = real(fd); /* others write meanwhile */
    if (name) {
        pthread_mutex_lock(&lock);
        if (!result) record('s', name, before, NULL, 0);
        pthread_mutex_unlock(&lock);
        free(name);
    }
    return result;
}

int fsync(int fd) { return flushed(REAL(int_type, "fsync"), fd); }
int fdatasync(int fd) { return flushed(REAL(int_type, "fdatasync"), fd); }

int unlink(const char *path) {
    const char *name = inside(path);
    int result;
    if (!name) return REAL(path_type, "unlink")(path);
    pthread_mutex_lock(&lock);
    result = REAL(path_type, "unlink")(path);
    if (!result) record('u', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
