// What belongs to the whole process, and so to the programs rather than to
// libmessenger: its standard streams, and settings of the libraries below.
#pragma once

namespace messenger::app {

// Call it before anything else.
void SetUpProcess();

// Raises the soft limit of descriptors to the hard one. Programs begin with a
// low limit for the sake of those that select(), which nothing here does. What
// cannot be raised stays as it was.
void RaiseDescriptorLimit();

}  // namespace messenger::app
