// Settings of the libraries below that belong to the whole process, and so to
// the programs rather than to libmessenger.
#pragma once

namespace messenger::app {

// Call it before anything else.
void SetUpProcess();

}  // namespace messenger::app
