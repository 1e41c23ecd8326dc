/* The icnnmd network in INT8 by oneDNN, to be timed beside the engine. Its weights are noise. */
#ifndef QMD_BENCH_ONEDNN_INT8_H
#define QMD_BENCH_ONEDNN_INT8_H

#include <stddef.h>
#include <stdint.h>

typedef struct onednn_int8 onednn_int8;

/* batch images [side][side][3] of u8, which it reads in each run; the network as it is, or with its first two
 * convolutions collapsed into one of 5 x 5. Ends the program if oneDNN cannot. */
onednn_int8 *onednn_int8_create(uint32_t side, uint32_t batch, uint32_t n_threads, int is_collapsed,
								unsigned char *images);

/* One batch; its argument is an onednn_int8, as a subject of bench_measure() wants it. */
void onednn_int8_run(void *net);

void onednn_int8_free(onednn_int8 *net);

/* How many integers of the first convolution of the network as it is differ from plain C, after a run, in the first
 * image; *n: of how many, *largest: the largest difference. */
size_t onednn_int8_mismatches(const onednn_int8 *net, size_t *n, int *largest);

#endif
