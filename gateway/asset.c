/* Finds an embedded file; the table itself is generated. */
#include "gateway/asset.h"

const struct asset *asset_find(struct bytes path)
{
    for (size_t i = 0; i < asset_count; i++)
        if (bytes_equal_text(path, assets[i].path))
            return &assets[i];
    return NULL;
}
