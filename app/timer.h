/* A timer of the app's loop; app_timer_start() starts it. */
#ifndef HUBBUB_APP_TIMER_H
#define HUBBUB_APP_TIMER_H

#include "common/timer_wheel.h"

struct hubbub_app;

/* Lives in its owner. */
struct app_timer {
    struct wheel_timer wheel; /* must stay first */
    void (*due)(struct hubbub_app *app, struct app_timer *timer);
};

#endif
