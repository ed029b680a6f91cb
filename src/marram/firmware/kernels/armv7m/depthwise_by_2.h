#ifndef MARRAM_ARMV7M_DEPTHWISE_BY_2_H
#define MARRAM_ARMV7M_DEPTHWISE_BY_2_H
#include "armv7m/depthwise_conv2d.h"

/* 2 columns at a time, at both strides; the compiler drops the one that no layer uses. */
MARRAM_ARMV7M_DEPTHWISE(2, 1)
MARRAM_ARMV7M_DEPTHWISE(2, 2)
#endif
