/*
 * control: the line protocol by which a test steers the simulator. README.md lists the commands.
 */
#ifndef CAS_SIM_CONTROL_H
#define CAS_SIM_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

/* Opens the control port on *port (0: ephemeral, then set); false if that fails. */
bool control_init(uint16_t *port);
void control_finish(void);

#endif
