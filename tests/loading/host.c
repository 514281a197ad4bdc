/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* Loads our translator and starts it as GlusterFS does, or with a changed xlator_t, like a GlusterFS whose structures
 * differ.
 *
 *   host LIBRARY LOG same|fops|identifier|category
 *
 * Prints what init returned. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <glusterfs/api/glfs.h>
#include <glusterfs/xlator.h>

int
main(int argc, char **argv)
{
    if (argc != 4)
        return 2;

    /* Creates the context that a GlusterFS process has. */
    if (!glfs_new("loaded") || gf_log_init(THIS->ctx, argv[2], NULL))
        return 3;
    gf_log_set_loglevel(THIS->ctx, GF_LOG_INFO);
#ifdef GD_OP_VERSION_11_0
    gf_log_set_log_buf_size(THIS->ctx, 0);
#else
    gf_log_set_log_buf_size(0);
#endif

    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    xlator_api_t *api = library ? dlsym(library, "xlator_api") : NULL;
    if (!api) {
        fprintf(stderr, "%s\n", dlerror());
        return 4;
    }

    static xlator_t xlator;
    xlator.name = "loaded-cloudsync";
    xlator.type = "features/cloudsync";
    xlator.ctx = THIS->ctx;
    xlator.fops = api->fops;
    xlator.identifier = api->identifier;
    xlator.category = api->category;
    xlator.options = dict_new();
    THIS = &xlator;

    if (!strcmp(argv[3], "fops"))
        xlator.fops = NULL;
    else if (!strcmp(argv[3], "identifier"))
        xlator.identifier = "elsewhere";
    else if (!strcmp(argv[3], "category"))
        xlator.category = GF_MAINTAINED;
    else if (strcmp(argv[3], "same"))
        return 2;
    printf("%d\n", api->init(&xlator));
    return 0;
}
