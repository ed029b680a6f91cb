#ifndef MARRAM_ARMV6M_DEPTHWISE_BY_4_H
#define MARRAM_ARMV6M_DEPTHWISE_BY_4_H
#include "armv6m/depthwise_conv2d.h"

/* 4 columns at a time, at both strides; the compiler drops the one that no layer uses. */
MARRAM_ARMV6M_DEPTHWISE(4, 1)
MARRAM_ARMV6M_DEPTHWISE(4, 2)
#endif
