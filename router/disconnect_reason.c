/* The table of reasons; see disconnect_reason.h. */
#include "router/disconnect_reason.h"

static const struct {
    const char *gateway, *text;
} reasons[] = {
    {"transport_error", "transport error"},
    {"websocket_protocol_error", "transport error"},
    {"websocket_invalid_text", "transport error"},
    {"websocket_message_too_large", "transport error"},
    {"http_bad_request", "transport error"},
    {"parse_error", "parse error"},
    {"packet_in_wrong_state", "forced server close"},
    {"ping_timeout", "ping timeout"},
    {"attachments_timeout", "forced close"},
    {"client_disconnect", "client namespace disconnect"},
    {"server_disconnect", "server namespace disconnect"},
    {"slow_reader", "forced close"},
    {"router_silent", "forced close"},
    {"not_resumable", "forced close"},
    {"router_close", "forced server close"},
    {"drain", "server shutting down"},
};

const char *disconnect_reason(struct bytes gateway)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (bytes_equal_text(gateway, reasons[i].gateway))
            return reasons[i].text;
    return "transport close";
}
