// Judges a history by what guarantees.md promises.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "history.h"
#include "history/violation.h"
#include "messenger/log.h"
#include "messenger/message.h"

namespace messenger::test {

// Holds what is known of every message of the history, but not the history.
//
// Thread safety: none.
class Checker {
 public:
  explicit Checker(Durability durability) : durability_(durability) {}

  // Judges the next round by itself and by all that were before it. Returns
  // what is wrong; after that, later rounds may be judged wrongly.
  std::vector<Violation> Check(const Round& round);

  struct Totals {
    std::uint64_t sent = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t duplicates = 0;   // of them: receipts of an earlier attempt
    std::uint64_t conditional = 0;  // of them: of conditional appends
    // Requests, that is conditional appends.
    std::uint64_t refused = 0;
    std::uint64_t refused_again = 0;  // of them: that had been refused before
    // Of these: sent again after a crash.
    std::uint64_t refused_later = 0;
    std::uint64_t read = 0;
    std::uint64_t dropped = 0;  // by retention
    // That were acknowledged or read and are gone, which is announced.
    std::uint64_t lost = 0;
    std::uint64_t announced_losses = 0;  // readers that were told of it
  };
  const Totals& totals() const { return totals_; }

 private:
  // A message that was sent, wherever it is stored.
  struct Sent {
    std::string channel;
    ProducerId producer_id{};
    std::uint64_t producer_sequence = 0;
    std::uint64_t batch_first = 0;  // numbers of its request
    std::uint64_t batch_last = 0;
    std::uint64_t sequence = 0;  // 0: not known to be stored
    std::uint64_t previous = 0;  // the sender's number before in this channel
    std::uint64_t next = 0;
    // What the first one of its request expects to be before it.
    std::optional<Position> expected_last;
    bool refused = false;  // for ever
  };
  struct Sender {
    std::string name;
    std::vector<Sent> sent;  // by number, from 1 on
    // The last number that was sent before the last life, whose requests are
    // all settled.
    std::uint64_t settled = 0;
    // The last number that was sent before this life.
    std::uint64_t before = 0;
    std::map<std::string, std::uint64_t> last;  // by channel
  };
  struct Stored {
    Sender* sender = nullptr;  // null: nothing is known
    std::uint64_t number = 0;
    Timestamp time;
    std::size_t bytes = 0;
  };
  struct Channel {
    std::vector<Stored> stored;      // by sequence, from 1 on
    std::uint64_t first = 1;         // what was before it has been dropped
    std::uint64_t old_head = 0;      // when the last life began
    std::uint64_t settled_head = 0;  // when this one began
    // The head that it had when an epoch ended.
    std::map<std::uint64_t, std::uint64_t> ended;

    std::uint64_t head() const { return stored.size(); }
  };

  void Fail(std::string_view guarantee, std::string_view channel,
            std::uint64_t sequence, std::string what);

  void CheckEpochs(const Round& round);
  void CheckContents(const Round& round, const Reading& contents);
  // The head is smaller than it was.
  void CheckLoss(const Round& round, const std::string& name,
                 std::uint64_t head);
  // Of what each sender had sent when the server died, a first part is there,
  // in whole requests.
  void CheckUnsettled(const std::string& name, const Sender& sender);
  void CheckTogether(const Sender& sender, std::uint64_t first,
                     std::uint64_t last);
  void AddSends(const Round& round);
  void CheckReceipts(const Send& send);
  void CheckRefusal(const Send& send);
  void CountRefusal(const Send& send, const Sender& sender);
  void CheckEnd(const Round& round, const SendEnd& end);
  // Retention has dropped it, or something there that nobody has seen.
  bool MayBeDropped(const Sent& sent);
  void CheckReading(const Round& round, const Reading& reading);
  // Where a reading begins; nothing if it never joined.
  std::optional<std::uint64_t> FirstOf(const Reading& reading);
  void CheckGap(const Round& round, const Reading& reading, const Gap& gap,
                std::uint64_t expected, bool first);
  // Sees the messages and gaps, and returns what comes after them.
  std::uint64_t Follow(const Round& round, const Reading& reading,
                       std::uint64_t next);
  void CheckDropped(const Round& round, const std::string& name,
                    std::uint64_t first);
  // The channel has at least so many messages; false if that cannot be.
  bool Extend(const std::string& name, std::uint64_t head);
  // A message is here, which was sent only to be here.
  void CheckCondition(const std::string& name, std::uint64_t sequence,
                      const Sent& sent, std::uint64_t number,
                      std::string_view who);
  // A message has this sequence and time, somebody says.
  void See(const std::string& name, std::uint64_t sequence, Timestamp time,
           Sender* sender, std::uint64_t number, std::string_view who);
  void SeeText(const std::string& channel, const Reading::Seen& seen,
               std::string_view who);

  const Durability durability_;
  std::map<std::string, Channel, std::less<>> channels_;
  std::map<std::string, Sender, std::less<>> senders_;
  std::uint64_t epoch_ = 0;
  std::uint64_t last_epoch_ = 0;  // of the round before
  std::uint64_t last_retention_bytes_ = ~std::uint64_t{0};
  Totals totals_;
  std::vector<Violation> violations_;  // of this round
};

}  // namespace messenger::test
