/*
 * Tells the service manager how we are: sd_notify(3) as a datagram to $NOTIFY_SOCKET, without a
 * library. Without that variable nothing happens. Errors are not reported: nobody could act.
 *
 * Threads: any, after milter_notify_init.
 */
#ifndef MILTER_NOTIFY_H
#define MILTER_NOTIFY_H

/* Reads $NOTIFY_SOCKET and removes it from the environment; before any thread. */
void milter_notify_init(void);

void milter_notify_ready(const char *status);
void milter_notify_reloading(void);
void milter_notify_stopping(void);

#endif
