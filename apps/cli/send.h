// messenger-cli send: what send.cc, which reads the command line and sends one
// message, and send_records.cc, which sends the records of stdin, share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "apps/cli/command.h"
#include "apps/cli/record_reader.h"
#include "messenger/client.h"
#include "messenger/message.h"

namespace messenger::app {

struct SendCommand {
  std::string text;
  std::string channel = std::string(kDefaultChannel);
  std::string author;
  std::vector<std::string> attributes;  // NAME=VALUE
  std::string content_type;
  // A path, or - for stdin; empty: no data.
  std::string data_file;
  // Of records: where they end, and whether they are data, not text.
  Framing framing = Framing::kLines;
  bool as_data = false;
  bool skip_invalid = false;
  // Of one message; see SendOptions.
  std::optional<std::uint64_t> expected_last_sequence;
  std::uint64_t expected_epoch = 0;  // 0: any
  std::string idempotency_key;
  std::optional<std::uint64_t> producer_sequence;
  // Of one message or many; see ClientOptions. Empty: none.
  std::string producer_name;
  std::size_t max_message_bytes = kDefaultMaxMessageBytes;
  RetryOptions retry;

  // What all messages have in common: views into this command.
  NewMessage MessageWithoutContent() const;
};

// What a refusal says, and what to do about it, where that is not plain.
std::string ExplainRefusal(const absl::Status& status);

// `send -`: sends each record of stdin, and says which ones were not. Returns
// the exit code.
int SendRecords(const SendCommand& command, Context& context);

}  // namespace messenger::app
