/* What this gateway tells of itself: to its own /metrics, and to the router for the stats socket. */
#ifndef HUBBUB_GATEWAY_METRICS_H
#define HUBBUB_GATEWAY_METRICS_H

struct exposition;
struct gateway;
struct wire_batch;

/* All of it, for Prometheus. */
void metrics_expose(struct gateway *gateway, struct exposition *exposition);

/* STATISTICS: every counter and gauge, by reason only those that are not 0; of publishes' and requests' times
   the counts, without the sums.  What the loop took is nobody's but this process'. */
void metrics_put(struct gateway *gateway, struct wire_batch *batch);

#endif
