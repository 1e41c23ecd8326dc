/*
 * A model on a device: its parameters and scales in the device's memory, shared by all networks of that model there. On
 * the host's own memory they are the model's arrays themselves, so that whoever changes the one changes the other; on
 * other devices upload() and download() carry them.
 */
#ifndef QMD_LIB_REPLICA_H
#define QMD_LIB_REPLICA_H

#include "model/model_internal.h"
#include "tensor/tensor.h"

typedef struct qmdi_replica qmdi_replica;

/*
 * Open a device (qmdi_tensor_open()) and bring the model there. The model must outlive the replica, and its graph, and
 * on devices which of its layers have scales, must stay as they are.
 */
qmd_status qmdi_replica_create(qmd_model *model, const char *device, size_t n_threads, qmdi_replica **replica);
qmdi_replica *qmdi_replica_hold(qmdi_replica *replica); /* once more; returns it */
void qmdi_replica_release(qmdi_replica *replica);       /* the last one closes the device; NULL is allowed */

qmd_model *qmdi_replica_model(const qmdi_replica *replica);
qmdi_tensor_device *qmdi_replica_device(const qmdi_replica *replica);

/* Tensors of the device; NULL where the layer has none. */
float *qmdi_replica_parameter(const qmdi_replica *replica, size_t layer, size_t parameter);
float *qmdi_replica_weight_scales(const qmdi_replica *replica, size_t layer);
const float *qmdi_replica_activation_scale(const qmdi_replica *replica, size_t layer);

/* From the model, after it was changed there: everything, and then the model may change again; or scales alone, which
 * must stay as they are until the device's next download() or wait(). */
qmd_status qmdi_replica_upload(qmdi_replica *replica);
qmd_status qmdi_replica_upload_scales(qmdi_replica *replica);

/* To the model: all parameters, or the biases of layers with weight_scales. Waits for all that was asked of the device
 * before. */
qmd_status qmdi_replica_download(qmdi_replica *replica);
qmd_status qmdi_replica_download_biases(qmdi_replica *replica);

#endif
