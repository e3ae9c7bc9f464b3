// What belongs to the whole process, and so to the programs rather than to
// libmessenger: its standard streams, and settings of the libraries below.
#pragma once

namespace messenger::app {

// Call it before anything else.
void SetUpProcess();

}  // namespace messenger::app
