/*
 * How an MD code whose coordinates live on a GPU embeds an engine: nothing is copied to the host but what it asks for.
 *
 *     embed_cuda ENGINE PDB NETCDF
 *
 * The "simulation" replays a trajectory: a kernel of its own interpolates between frames, on a stream of its own, in
 * double precision and nanometres, as an integrator would write them. The engine's work goes to the same stream behind
 * it, so neither waits for the other on the host. At the end the probabilities of the frames themselves are held
 * against those of the CPU's engine, which they must equal in every bit.
 *
 *     nvcc -std=c++17 embed_cuda.cu $(pkg-config --cflags --libs qmd) -o embed_cuda
 */
#include <qmd.h>

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

static void check(qmd_status status) {
	if (status == QMD_OK)
		return;
	fprintf(stderr, "embed_cuda: %s: %s\n", qmd_status_name(status), qmd_last_error());
	exit(1);
}

static void check(cudaError_t error) {
	if (error == cudaSuccess)
		return;
	fprintf(stderr, "embed_cuda: CUDA: %s\n", cudaGetErrorString(error));
	exit(1);
}

/* ---- The simulation ---- */

/* One step: from `from` towards `to`, both in angstrom, to coordinates in nm. */
__global__ void integrate(const float *from, const float *to, double share, unsigned n, double *x) {
	const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
	if (i < n)
		x[i] = 0.1 * (from[i] + share * (static_cast<double>(to[i]) - from[i]));
}

struct simulation {
	std::vector<qmd_atom> atoms;
	std::vector<float> frames; /* n_frames * n_atoms * 3, in angstrom */
	size_t n_frames;
	cudaStream_t stream;
	float *device_frames;
	double *x; /* on the device: n_atoms * 3, in nm */
};

static simulation open_simulation(const char *pdb, const char *netcdf) {
	simulation sim;
	qmd_topology *topology;
	qmd_trajectory *trajectory;
	check(qmd_topology_load(pdb, &topology));
	sim.atoms.resize(qmd_topology_n_atoms(topology));
	for (size_t i = 0; i < sim.atoms.size(); i++)
		check(qmd_topology_atom(topology, i, &sim.atoms[i]));
	check(qmd_trajectory_open(&netcdf, 1, sim.atoms.size(), &trajectory));
	sim.n_frames = qmd_trajectory_n_frames(trajectory);
	sim.frames.resize(sim.n_frames * sim.atoms.size() * 3);
	check(qmd_trajectory_read(trajectory, 0, sim.n_frames, sim.frames.data()));
	qmd_trajectory_free(trajectory);
	qmd_topology_free(topology);
	check(cudaStreamCreateWithFlags(&sim.stream, cudaStreamNonBlocking));
	check(cudaMalloc(&sim.device_frames, sim.frames.size() * sizeof(float)));
	check(cudaMalloc(&sim.x, sim.atoms.size() * 3 * sizeof(double)));
	check(cudaMemcpy(sim.device_frames, sim.frames.data(), sim.frames.size() * sizeof(float), cudaMemcpyHostToDevice));
	return sim;
}

static void advance(const simulation &sim, size_t frame, double share) {
	const unsigned n = static_cast<unsigned>(3 * sim.atoms.size());
	const float *from = sim.device_frames + frame * n, *to = frame + 1 < sim.n_frames ? from + n : from;
	integrate<<<(n + 255) / 256, 256, 0, sim.stream>>>(from, to, share, n, sim.x);
	check(cudaGetLastError());
}

static void close_simulation(simulation &sim) {
	check(cudaFree(sim.x));
	check(cudaFree(sim.device_frames));
	check(cudaStreamDestroy(sim.stream));
}

/* ---- The MD loop ---- */

static const size_t steps_a_frame = 10;

int main(int argc, char **argv) {
	if (argc != 4) {
		fprintf(stderr, "usage: embed_cuda ENGINE PDB NETCDF\n");
		return 2;
	}
	qmd_engine *engine;
	qmd_context *context, *cpu;
	qmd_context_options options;
	check(qmd_engine_load(argv[1], &engine));
	simulation sim = open_simulation(argv[2], argv[3]);
	const size_t n_classes = qmd_engine_n_classes(engine);

	/* Once: the context on the simulation's device and stream, and where the engine's atoms stand. */
	qmd_context_options_init(&options);
	options.device = "cuda";
	options.stream = sim.stream;
	options.max_batch = 1;
	options.input_memory = options.output_memory = QMD_MEMORY_DEVICE;
	check(qmd_context_create(engine, &options, &context));
	std::vector<uint32_t> indices(qmd_engine_n_atoms(engine));
	check(qmd_engine_match(engine, sim.atoms.data(), sim.atoms.size(), indices.data()));
	float *probabilities; /* of every step, on the device */
	check(cudaMalloc(&probabilities, sim.n_frames * steps_a_frame * n_classes * sizeof(float)));

	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = sim.x;
	frame.type = QMD_F64;
	frame.unit = QMD_NM;
	frame.n_atoms = sim.atoms.size();
	frame.indices = indices.data();
	for (size_t step = 0; step < sim.n_frames * steps_a_frame; step++) {
		advance(sim, step / steps_a_frame, static_cast<double>(step % steps_a_frame) / steps_a_frame);
		/* Every step: the engine looks at the coordinates where they are, behind the kernel that wrote them. */
		check(qmd_context_run(context, &frame, 1, probabilities + step * n_classes));
	}
	check(qmd_context_wait(context)); /* and says if a frame could not be rendered */

	/* The same on the CPU, for the steps that are frames. */
	std::vector<float> found(sim.n_frames * steps_a_frame * n_classes), expected(n_classes);
	check(cudaMemcpy(found.data(), probabilities, found.size() * sizeof(float), cudaMemcpyDeviceToHost));
	check(qmd_context_create(engine, NULL, &cpu));
	std::vector<double> x(3 * sim.atoms.size());
	size_t n_same = 0;
	for (size_t i = 0; i < sim.n_frames; i++) {
		for (size_t k = 0; k < x.size(); k++)
			x[k] = 0.1 * static_cast<double>(sim.frames[i * x.size() + k]);
		frame.xyz = x.data();
		check(qmd_context_run(cpu, &frame, 1, expected.data()));
		n_same += memcmp(expected.data(), &found[i * steps_a_frame * n_classes], n_classes * sizeof(float)) == 0;
	}
	printf("%zu frames, %zu with the probabilities of the CPU in every bit\n", sim.n_frames, n_same);
	const int result = n_same == sim.n_frames ? 0 : 1;
	qmd_context_free(cpu);
	qmd_context_free(context);
	check(cudaFree(probabilities));
	qmd_engine_free(engine);
	close_simulation(sim);
	return result;
}
