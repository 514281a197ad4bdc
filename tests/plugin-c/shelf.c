/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * A whole store plugin in C: objects are files in a folder, and a key is a path below it.
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

/* Opens an object and describes it. Returns a descriptor or a negative errno. Keys come from the volume: the kernel
 * sees to it that none leads out of the folder. */
static int
shelf_open(shelf_t *shelf, const char *key, cs_object_t *object)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    struct stat found;
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
    if (fd < 0)
        return fd;
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) {
        close(fd);
        return -ENODATA;
    }
    memset(object, 0, sizeof(*object));
    object->size = (uint64_t)found.st_size;
    snprintf(object->etag, sizeof(object->etag), "%lld.%09ld", (long long)found.st_mtim.tv_sec,
             found.st_mtim.tv_nsec);
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

/* Returns 0 or an errno. */
static int
shelf_copy(call_frame_t *frame, int fd, uint64_t size)
{
    static const size_t most = 1 << 20;
    char *piece = malloc(most);
    uint64_t offset = 0;
    int ret = piece ? 0 : ENOMEM;

    while (ret == 0 && offset < size) {
        ssize_t got = pread(fd, piece, size - offset < most ? size - offset : most, (off_t)offset);

        if (cs_cancelled(frame))
            ret = ECANCELED;
        else if (got <= 0)
            ret = got < 0 ? errno : EBADMSG;
        else
            ret = cs_write(frame, piece, (size_t)got, (off_t)offset);
        offset += got > 0 ? (uint64_t)got : 0;
    }
    free(piece);
    return ret;
}

static int
shelf_download(call_frame_t *frame, void *config)
{
    cs_local_t *local = frame->local;
    cs_object_t object;
    int fd = shelf_open(config, local->remotepath, &object);
    int ret;

    if (fd < 0)
        ret = -fd;
    else if (local->version && strcmp(local->version, object.etag) != 0)
        ret = ESTALE;
    else if (object.size != local->stbuf.ia_size)
        ret = EBADMSG;
    else
        ret = shelf_copy(frame, fd, object.size);
    if (fd >= 0)
        close(fd);
    local->op_errno = ret;
    if (ret == 0)
        return 0;
    gf_log(frame->this->name, GF_LOG_ERROR, "object %s: %s", local->remotepath, strerror(ret));
    return -1;
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
};
