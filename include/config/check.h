/*
 * check: the rules that look at more than one value of a configuration.
 */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config/complaint.h"
#include "config/config.h"
#include "config/load.h"

/* Adds a complaint for each rule that the configuration breaks: what is missing, given twice, or
 * contradicts itself. root is the map that config was built from. */
void check_config(const struct config *config, const struct node *root,
    struct complaints *complaints);

#endif
