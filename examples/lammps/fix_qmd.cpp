// The probability of each state, every N steps, as the fix's vector: f_ID[1], f_ID[2], ... in the order of the engine's
// classes. The PDB file names the atoms by their LAMMPS IDs: its first atom has ID 1.
#include "fix_qmd.h"

#include "atom.h"
#include "domain.h"
#include "error.h"
#include "update.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <qmd/trajectory.h>

using namespace LAMMPS_NS;
using namespace std::string_literals;

static std::string reason() {
	return "fix qmd: "s + qmd_last_error();
}

FixQmd::FixQmd(LAMMPS *lmp, int narg, char **arg) : Fix(lmp, narg, arg) {
	if (narg != 6)
		error->all(FLERR, "fix ID group qmd ENGINE PDB N"s);
	nevery = atoi(arg[5]);
	if (nevery < 1)
		error->all(FLERR, "fix qmd: N is at least 1"s);
	if (qmd_engine_load(arg[3], &engine) != QMD_OK || qmd_context_create(engine, nullptr, &context) != QMD_OK)
		error->one(FLERR, reason());
	match(arg[4]);
	mine.resize(4 * qmd_engine_n_atoms(engine));
	all.resize(mine.size());
	probabilities.resize(qmd_engine_n_classes(engine));
	vector_flag = 1;
	size_vector = (int)probabilities.size();
	extvector = 0;
	global_freq = nevery;
}

FixQmd::~FixQmd() {
	qmd_context_free(context);
	qmd_engine_free(engine);
}

int FixQmd::setmask() {
	return FixConst::END_OF_STEP;
}

void FixQmd::init() {
	if (!atom->tag_enable)
		error->all(FLERR, "fix qmd: atoms need IDs"s);
	if (strcmp(update->unit_style, "real") != 0 && strcmp(update->unit_style, "metal") != 0)
		error->all(FLERR, "fix qmd: lengths must be in angstrom: units real or metal"s);
}

// Where the engine's atoms stand among the simulation's.
void FixQmd::match(const char *pdb) {
	qmd_topology *topology;
	if (qmd_topology_load(pdb, &topology) != QMD_OK)
		error->one(FLERR, reason());
	std::vector<qmd_atom> atoms(qmd_topology_n_atoms(topology));
	std::vector<uint32_t> indices(qmd_engine_n_atoms(engine));
	qmd_status status = QMD_OK;
	for (size_t i = 0; i < atoms.size() && status == QMD_OK; i++)
		status = qmd_topology_atom(topology, i, &atoms[i]);
	if (status == QMD_OK)
		status = qmd_engine_match(engine, atoms.data(), atoms.size(), indices.data());
	qmd_topology_free(topology);
	if (status != QMD_OK)
		error->one(FLERR, reason());
	place.assign(atoms.size() + 1, -1);
	for (size_t i = 0; i < indices.size(); i++)
		place[indices[i] + 1] = (int)i;
}

// Each atom has one owner, and adding the zeros of the other ranks changes no bit.
void FixQmd::gather() {
	std::fill(mine.begin(), mine.end(), 0.0);
	for (int i = 0; i < atom->nlocal; i++) {
		const tagint tag = atom->tag[i];
		if (tag < 1 || (size_t)tag >= place.size() || place[tag] < 0)
			continue;
		double *where = &mine[4 * (size_t)place[tag]];
		domain->unmap(atom->x[i], atom->image[i], where); // whole, by the image flags
		where[3] = 1;
	}
	MPI_Allreduce(mine.data(), all.data(), (int)mine.size(), MPI_DOUBLE, MPI_SUM, world);
}

void FixQmd::setup(int) {
	end_of_step();
}

void FixQmd::end_of_step() {
	gather();
	for (size_t i = 3; i < all.size(); i += 4)
		if (all[i] != 1)
			error->all(FLERR, "fix qmd: an atom of the engine is not in the simulation"s);
	qmd_frame frame;
	qmd_frame_init(&frame);
	frame.xyz = all.data();
	frame.type = QMD_F64;
	frame.stride = 4;
	frame.n_atoms = all.size() / 4; // just the engine's atoms, in its order
	// Every rank computes the same bytes: none has to wait for another's answer.
	if (qmd_context_run(context, &frame, 1, probabilities.data()) != QMD_OK)
		error->one(FLERR, reason());
}

double FixQmd::compute_vector(int i) {
	return probabilities[i];
}
