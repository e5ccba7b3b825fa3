/* Texts of the error codes; see error.h. */
#include "common/error.h"

const char *error_text(int code)
{
    switch (code) {
    case 0:
        return "success";
#define X(name, number, text)                                                                                \
    case ERROR_##name:                                                                                       \
        return text;
        ERROR_TABLE(X)
#undef X
    default:
        return "unknown error";
    }
}
