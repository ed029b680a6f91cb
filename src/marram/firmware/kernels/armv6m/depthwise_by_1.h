#ifndef MARRAM_ARMV6M_DEPTHWISE_BY_1_H
#define MARRAM_ARMV6M_DEPTHWISE_BY_1_H
#include "armv6m/depthwise_conv2d.h"

/* 1 column at a time, at both strides; the compiler drops the one that no layer uses. */
MARRAM_ARMV6M_DEPTHWISE(1, 1)
MARRAM_ARMV6M_DEPTHWISE(1, 2)
#endif
