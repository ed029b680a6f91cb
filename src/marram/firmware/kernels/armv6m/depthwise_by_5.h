#ifndef MARRAM_ARMV6M_DEPTHWISE_BY_5_H
#define MARRAM_ARMV6M_DEPTHWISE_BY_5_H
#include "armv6m/depthwise_conv2d.h"

/* 5 columns at a time, at both strides; the compiler drops the one that no layer uses. */
MARRAM_ARMV6M_DEPTHWISE(5, 1)
MARRAM_ARMV6M_DEPTHWISE(5, 2)
#endif
