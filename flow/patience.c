#include "flow/patience.h"

#include "flow/state.h"

int64_t
flow_patience_get(int64_t eom_timeout_ms, uint64_t octets, bool *cut)
{
    uint64_t more_ms = octets / FLOW_PATIENCE_OCTETS * 1000 +
                       octets % FLOW_PATIENCE_OCTETS * 1000 / FLOW_PATIENCE_OCTETS;
    uint64_t room_ms = eom_timeout_ms < FLOW_PATIENCE_LIMIT_MS
                           ? (uint64_t)(FLOW_PATIENCE_LIMIT_MS - eom_timeout_ms)
                           : 0;

    if (cut)
        *cut = more_ms > room_ms;
    return eom_timeout_ms + (int64_t)(more_ms < room_ms ? more_ms : room_ms);
}

int64_t
flow_patience_find(const struct flow_message *message, bool *cut)
{
    return flow_patience_get(message->conf->global.eom_timeout,
                             message->header_bytes + message->body_bytes, cut);
}
