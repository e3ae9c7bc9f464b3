// What belongs to the whole process, and so to the programs rather than to
// libmessenger: its standard streams, and settings of the libraries below.
#pragma once

namespace messenger::app {

// Call it before anything else.
void SetUpProcess();

// Lets a thread of the process that wakes up wait until the one that woke it
// has done its work, if all cores are busy. For a server: a thread that writes
// to a thousand readers is otherwise interrupted for each of them. Threads
// inherit it, so call it before there are any. See sched(7), SCHED_BATCH.
void PreferThroughput();

}  // namespace messenger::app
