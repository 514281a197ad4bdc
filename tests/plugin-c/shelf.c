/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * A complete store plugin in C: objects are files in a folder, and a key is a path below it.
 *
 *   gluster volume set VOL features.cloudsync-storetype shelf
 *   gluster volume set VOL features.cloudsync-store-id path=/folder
 */
#include <cloudsync-common.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What fop_init makes: the folder, which fop_reconfigure may change while downloads run. */
typedef struct shelf {
    pthread_mutex_t lock;
    char *folder;
} shelf_t;

static char *
shelf_folder(xlator_t *this, dict_t *options)
{
    char *list = NULL;

    if (dict_get_str(options, "cloudsync-store-id", &list) == 0 && strncmp(list, "path=/", 6) == 0)
        return strdup(list + 5);
    gf_log(this->name, GF_LOG_ERROR, "option cloudsync-store-id: expected path=/folder");
    return NULL;
}

static void *
shelf_init(xlator_t *this)
{
    char *folder = shelf_folder(this, this->options);
    shelf_t *shelf = folder ? calloc(1, sizeof(*shelf)) : NULL;

    if (!shelf) {
        free(folder);
        return NULL;
    }
    pthread_mutex_init(&shelf->lock, NULL);
    shelf->folder = folder;
    return shelf;
}

static int
shelf_reconfigure(xlator_t *this, dict_t *options)
{
    cs_private_t *priv = this->private;
    shelf_t *shelf = priv->stores->config;
    char *folder = shelf_folder(this, options);
    char *old = NULL;

    if (!folder)
        return -1;
    pthread_mutex_lock(&shelf->lock);
    old = shelf->folder;
    shelf->folder = folder;
    pthread_mutex_unlock(&shelf->lock);
    free(old);
    return 0;
}

static void
shelf_fini(void *config)
{
    shelf_t *shelf = config;

    pthread_mutex_destroy(&shelf->lock);
    free(shelf->folder);
    free(shelf);
}

/* Describes an object. Its etag changes whenever the file is written to or replaced. */
static int
shelf_describe(int fd, cs_object_t *object)
{
    struct stat found;

    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode))
        return ENODATA;
    memset(object, 0, sizeof(*object));
    object->size = (uint64_t)found.st_size;
    snprintf(object->etag, sizeof(object->etag), "%llu-%lld.%09ld", (unsigned long long)found.st_ino,
             (long long)found.st_ctim.tv_sec, found.st_ctim.tv_nsec);
    return 0;
}

/* Opens an object and describes it. Returns a descriptor or a negative errno. Keys come from the volume: the kernel
 * sees to it that none leads out of the folder. */
static int
shelf_open(shelf_t *shelf, const char *key, cs_object_t *object)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_BENEATH};
    int folder, fd;

    pthread_mutex_lock(&shelf->lock);
    folder = open(shelf->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pthread_mutex_unlock(&shelf->lock);
    if (folder < 0)
        return -EHOSTUNREACH;
    fd = (int)syscall(SYS_openat2, folder, key, &how, sizeof(how));
    if (fd < 0)
        fd = errno == ENOENT || errno == ENOTDIR || errno == EXDEV ? -ENODATA : -errno;
    close(folder);
    if (fd >= 0 && shelf_describe(fd, object) != 0) {
        close(fd);
        return -ENODATA;
    }
    return fd;
}

static int
shelf_head(xlator_t *this, void *config, const char *key, cs_object_t *object)
{
    int fd = shelf_open(config, key, object);

    (void)this;
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* Gives the sink the part that it wants of the version that was opened. Returns 0 or an errno. */
static int
shelf_give(int fd, const cs_object_t *object, const cs_fetch_t *what)
{
    static const size_t most = 1 << 20;
    char *piece = malloc(most);
    uint64_t done = 0;
    int ret = piece ? 0 : ENOMEM;

    while (ret == 0 && done < what->length) {
        uint64_t left = what->length - done;
        ssize_t got = pread(fd, piece, left < most ? left : most, (off_t)(what->offset + done));
        cs_object_t now;

        if (got < 0)
            ret = errno;
        else if (shelf_describe(fd, &now) != 0 || strcmp(now.etag, object->etag) != 0 || got == 0)
            ret = ESTALE;
        else
            ret = what->write(what->sink, piece, (size_t)got);
        done += got > 0 ? (uint64_t)got : 0;
    }
    free(piece);
    return ret;
}

static int
shelf_fetch(xlator_t *this, void *config, const cs_fetch_t *what)
{
    cs_object_t object;
    int fd = shelf_open(config, what->key, &object);
    int ret;

    if (fd < 0)
        ret = -fd;
    else if (what->version && strcmp(what->version, object.etag) != 0)
        ret = ESTALE;
    else if (object.size != what->size)
        ret = EBADMSG;
    else
        ret = shelf_give(fd, &object, what);
    if (fd >= 0)
        close(fd);
    if (ret != 0 && ret != ECANCELED)
        gf_log(this->name, GF_LOG_ERROR, "object %s: %s", what->key, strerror(ret));
    return -ret;
}

/* The file that a recall of the whole object writes to. */
typedef struct shelf_file {
    call_frame_t *frame;
    off_t offset;
} shelf_file_t;

static int
shelf_write(void *sink, const void *bytes, size_t length)
{
    shelf_file_t *file = sink;
    int ret = cs_cancelled(file->frame) ? ECANCELED : cs_write(file->frame, bytes, length, file->offset);

    file->offset += (off_t)length;
    return ret;
}

/* For a translator that does not ask for parts. */
static int
shelf_download(call_frame_t *frame, void *config)
{
    cs_local_t *local = frame->local;
    shelf_file_t file = {.frame = frame};
    cs_fetch_t whole = {
        .key = local->remotepath,
        .version = local->version,
        .size = local->stbuf.ia_size,
        .length = local->stbuf.ia_size,
        .write = shelf_write,
        .sink = &file,
    };

    local->op_errno = -shelf_fetch(frame->this, config, &whole);
    return local->op_errno == 0 ? 0 : -1;
}

store_methods_t store_ops = {
    .fop_download = shelf_download,
    .fop_init = shelf_init,
    .fop_reconfigure = shelf_reconfigure,
    .fop_fini = shelf_fini,
};

store_methods_ext_t store_ops_ext = {
    .size = sizeof(store_methods_ext_t),
    .head = shelf_head,
    .fetch = shelf_fetch,
    .host = CS_HOST,
};
