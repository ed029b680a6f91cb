#ifndef MARRAM_ARMV6M_DEPTHWISE_BY_6_H
#define MARRAM_ARMV6M_DEPTHWISE_BY_6_H
#include "armv6m/depthwise_conv2d.h"

/* 6 columns at a time, at both strides; the compiler drops the one that no layer uses. */
MARRAM_ARMV6M_DEPTHWISE(6, 1)
MARRAM_ARMV6M_DEPTHWISE(6, 2)
#endif
