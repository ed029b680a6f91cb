#ifndef MARRAM_ARMV7M_DEPTHWISE_BY_1_H
#define MARRAM_ARMV7M_DEPTHWISE_BY_1_H
#include "armv7m/depthwise_conv2d.h"

/* 1 column at a time, at both strides; the compiler drops the one that no layer uses. */
MARRAM_ARMV7M_DEPTHWISE(1, 1)
MARRAM_ARMV7M_DEPTHWISE(1, 2)
#endif
