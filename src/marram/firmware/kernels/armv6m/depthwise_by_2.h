#ifndef MARRAM_ARMV6M_DEPTHWISE_BY_2_H
#define MARRAM_ARMV6M_DEPTHWISE_BY_2_H
#include "armv6m/depthwise_conv2d.h"

/* 2 columns at a time, at both strides; the compiler drops the one that no layer uses. */
MARRAM_ARMV6M_DEPTHWISE(2, 1)
MARRAM_ARMV6M_DEPTHWISE(2, 2)
#endif
