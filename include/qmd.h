/**
 * @file qmd.h
 * libqmd: neural networks on every time-step of a molecular dynamics simulation, in integers.
 *
 * In order of need: engine.h runs a finished engine on coordinates (all that an MD code needs); trajectory.h, pixels.h,
 * model.h, train.h and quantize.h make one; onnx.h takes models out and in; explain.h says which residues drive its
 * decision.
 */
#ifndef QMD_H
#define QMD_H

#include <qmd/base.h>
#include <qmd/trajectory.h>
#include <qmd/pixels.h>
#include <qmd/model.h>
#include <qmd/train.h>
#include <qmd/quantize.h>
#include <qmd/onnx.h>
#include <qmd/engine.h>
#include <qmd/explain.h>

#endif
