/* What this gateway tells of itself: to its own /metrics, and to the router for the stats socket. */
#ifndef HUBBUB_GATEWAY_METRICS_H
#define HUBBUB_GATEWAY_METRICS_H

#include <stdint.h>

struct exposition;
struct gateway;

/* All of it, for Prometheus. */
void metrics_expose(struct gateway *gateway, struct exposition *exposition);

/* Every counter and gauge, by reason only those that are not 0; of publishes' and requests' times the counts,
 * without the sums.  What the loop took is nobody's but this process'. */
void metrics_each(struct gateway *gateway, void (*each)(void *argument, const char *name, uint64_t value),
                  void *argument);

#endif
