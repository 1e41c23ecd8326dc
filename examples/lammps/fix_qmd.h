/* A fix for LAMMPS: fix ID group qmd ENGINE PDB N */
#ifdef FIX_CLASS
// clang-format off
FixStyle(qmd,FixQmd);
// clang-format on
#else

#ifndef LMP_FIX_QMD_H
#define LMP_FIX_QMD_H

#include "fix.h"

#include <qmd/engine.h>
#include <vector>

namespace LAMMPS_NS {

class FixQmd : public Fix {
  public:
	FixQmd(class LAMMPS *, int, char **);
	~FixQmd() override;
	int setmask() override;
	void init() override;
	void setup(int) override;
	void end_of_step() override;
	double compute_vector(int) override;

  private:
	void match(const char *);
	void gather();

	qmd_engine *engine = nullptr;
	qmd_context *context = nullptr;
	std::vector<int> place;        // of the atom with this tag among the engine's; -1: it is none of them
	std::vector<double> mine, all; // n_atoms * 4: x, y, z, and by how many ranks it is owned
	std::vector<float> probabilities;
};

} // namespace LAMMPS_NS

#endif
#endif
