// Senders that more than one scenario runs.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "messenger/v1/messenger.grpc.pb.h"
#include "report.h"
#include "support.h"

namespace messenger::bench {

using Samples = std::vector<std::chrono::nanoseconds>;

// Calls per second, and the percentiles of their round trips.
Case MakeCase(std::string name, Samples samples, double elapsed);

v1::SendMessageRequest MakeRequest(const Options& options,
                                   const std::string& channel);

// So many SendMessage calls at a time, with the callback API.
Case MeasureOutstanding(const Setting& setting, std::string name,
                        v1::MessengerServer::Stub& stub,
                        const v1::SendMessageRequest& request, int count);

// What carries a message's bytes. Text is checked for UTF-8.
enum class Content { kText, kData };

// SendAsync from one thread of each client, flat out.
Case MeasureBatched(const Setting& setting, Content content, std::size_t bytes,
                    int clients);

}  // namespace messenger::bench
