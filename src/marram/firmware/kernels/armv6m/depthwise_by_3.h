#ifndef MARRAM_ARMV6M_DEPTHWISE_BY_3_H
#define MARRAM_ARMV6M_DEPTHWISE_BY_3_H
#include "armv6m/depthwise_conv2d.h"

/* 3 columns at a time, at both strides; the compiler drops the one that no layer uses. */
MARRAM_ARMV6M_DEPTHWISE(3, 1)
MARRAM_ARMV6M_DEPTHWISE(3, 2)
#endif
