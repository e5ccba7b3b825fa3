/* The files that the gateway serves, compiled into it: the demo page and the stock client. */
#ifndef HUBBUB_GATEWAY_ASSET_H
#define HUBBUB_GATEWAY_ASSET_H

#include "common/bytes.h"

struct asset {
    const char *path; /* of the URL */
    const char *content_type;
    const char *etag; /* quotes included */
    const char *start, *end;
};

/* Made at build time by embed_assets.py. */
extern const struct asset assets[];
extern const size_t asset_count;

static inline struct bytes asset_body(const struct asset *asset)
{
    return bytes_make(asset->start, (size_t)(asset->end - asset->start));
}

/* NULL when nothing is served there. */
const struct asset *asset_find(struct bytes path);

#endif
