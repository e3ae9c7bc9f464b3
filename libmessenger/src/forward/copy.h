// What a forwarder sends.
#pragma once

#include "messenger/forwarder.h"
#include "messenger/message.h"

namespace messenger {

// Of a message that lives on until it is sent.
NewMessage CopyOf(const Message& message, const ForwardedChannel& channel);

// Instead of messages that the source does not have any more, in this epoch.
NewMessage CopyOf(const Gap& gap, std::uint64_t epoch,
                  const ForwardedChannel& channel);

}  // namespace messenger
