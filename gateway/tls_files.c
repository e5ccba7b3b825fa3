/* Which files the certificates stand in; see tls_files.h.  The settings load them, tls_store.c reads them. */
#include "gateway/tls_files.h"

#include "common/config.h"
#include "common/memory.h"

#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 1000 };

/* Takes over origin. */
static void add(struct tls_files *files, const char *certificate, const char *key, char *origin)
{
    if (!key)
        key = certificate;
    files->files = memory_resize(files->files, (files->count + 1) * sizeof *files->files);
    files->files[files->count++] =
        (struct tls_file){.certificate = memory_text(certificate, strlen(certificate)),
                          .key = memory_text(key, strlen(key)),
                          .origin = origin};
}

/* One { certificate = ".."; key = ".."; }. */
static int load_entry(const config_setting_t *entry, struct tls_files *files, struct buffer *error)
{
    const char *certificate = NULL, *key = NULL;

    if (!config_setting_is_group(entry)) {
        config_complain(error, entry,
                        "an entry of certificates is bad, expected { certificate = \"...\"; "
                        "key = \"...\"; }");
        return ERROR_CONFIG;
    }
    for (unsigned i = 0; i < (unsigned)config_setting_length(entry); i++) {
        const config_setting_t *setting = config_setting_get_elem(entry, i);
        const char *name = config_setting_name(setting), *text = config_setting_get_string(setting);
        const char **value = strcmp(name, "certificate") == 0 ? &certificate
                             : strcmp(name, "key") == 0       ? &key
                                                              : NULL;

        if (!value || !text || !*text) {
            config_complain(error, setting,
                            value ? "%s is bad, expected a path in quotes"
                                  : "unknown key %s of a certificate; expected certificate or key",
                            name);
            return ERROR_CONFIG;
        }
        *value = text;
    }
    if (!certificate) {
        config_complain(error, entry, "an entry of certificates names no certificate");
        return ERROR_CONFIG;
    }
    add(files, certificate, key, config_place(entry));
    return 0;
}

int tls_files_load(const config_t *config, const char *certificate, const char *key, struct tls_files *out,
                   struct buffer *error)
{
    const config_setting_t *list = config_lookup(config, "certificates");
    struct tls_files files = {0};
    int result = 0;

    if (key && !certificate) {
        buffer_append_text(error, "key tls_key is of no use without tls_certificate");
        return ERROR_CONFIG;
    }
    if (list && (!config_setting_is_list(list) || config_setting_length(list) > FILES_MAX)) {
        config_complain(error, list, "certificates is bad, expected a list of up to %d: ( { ... }, ... )",
                        FILES_MAX);
        return ERROR_CONFIG;
    }
    if (certificate)
        add(&files, certificate, key, NULL);
    for (unsigned i = 0; list && i < (unsigned)config_setting_length(list) && !result; i++)
        result = load_entry(config_setting_get_elem(list, i), &files, error);
    if (result) {
        tls_files_done(&files);
        return result;
    }
    *out = files;
    return 0;
}

void tls_files_describe(const struct tls_files *files, config_visit *visit, void *argument)
{
    struct buffer name = {0}, value = {0};
    unsigned number = 0;

    for (size_t i = 0; i < files->count; i++) {
        const struct tls_file *file = &files->files[i];

        if (!file->origin)
            continue;
        buffer_clear(&name);
        buffer_clear(&value);
        buffer_printf(&name, "certificates[%u]%c", number++, '\0');
        buffer_printf(&value, "certificate=%s;key=%s%c", file->certificate, file->key, '\0');
        visit(argument, name.data, value.data, file->origin);
    }
    buffer_done(&name);
    buffer_done(&value);
}

void tls_files_done(struct tls_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].origin);
        free(files->files[i].certificate);
        free(files->files[i].key);
    }
    free(files->files);
    *files = (struct tls_files){0};
}
