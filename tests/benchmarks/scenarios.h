// The scenarios; each is one table. They throw std::runtime_error if something
// went wrong, such as a message that did not arrive.
#pragma once

#include "report.h"
#include "support.h"

namespace messenger::bench {

Scenario RunReplay(const Setting& setting);
Scenario RunFanOut(const Setting& setting);
Scenario RunTails(const Setting& setting);
Scenario RunIdle(const Setting& setting);
Scenario RunUnarySend(const Setting& setting);
Scenario RunBatchedSend(const Setting& setting);
Scenario RunConditional(const Setting& setting);
Scenario RunLatency(const Setting& setting);
Scenario RunDurable(const Setting& setting);
Scenario RunCommit(const Setting& setting);
Scenario RunChannels(const Setting& setting);
Scenario RunReopen(const Setting& setting);

}  // namespace messenger::bench
