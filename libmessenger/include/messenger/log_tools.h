// Looking after a log in a directory while no server has it open: what is
// damaged, mending it, and what is in it.
//
// All of these block on the disk for as long as it takes to read the whole log,
// on the calling thread, which also runs the callbacks. They hold the lock of
// the log: FAILED_PRECONDITION if a server, or another of these, has it open.
// Those that change nothing, all but RepairLog, also work where nothing can be
// written, and several of them at once then; if there is no lock to hold, a
// finding says so. One journal is held in memory as a whole.
//
// The log is named as for `OpenLog`, "file:DIR". INVALID_ARGUMENT if it is not
// of this form, NOT_FOUND if there is no such directory, FAILED_PRECONDITION if
// it holds something else than a log, or one of another version of the format,
// DATA_LOSS if a symbolic link or something else that is no file is in the
// place of a file of the log: it is not taken for damage, since nobody knows
// what it stands for; INTERNAL and RESOURCE_EXHAUSTED are the errors of the
// disk itself, which are not taken for damage.
//
// doc/log_format.md says what each damage leads to.
//
// Thread safety: the functions may be called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger {

// Something about a log that its operator should know.
struct LogFinding {
  enum class Kind : std::uint8_t {
    // Nothing is lost, and nothing need be done: what a crash has left behind,
    // files that are not the log's.
    kNotice,
    // What a crash does not explain. `RepairLog` mends it.
    kDamage,
  };
  Kind kind = Kind::kNotice;
  // Within the directory: "journals/00000000000000000001.journal".
  std::string file = {};
  std::uint64_t offset = 0;  // in the file, in bytes
  std::uint64_t bytes = 0;   // from there on; 0 if that says nothing
  // The channel and the messages that it concerns. Empty, and 0: none, or
  // nobody can tell which.
  std::string channel = {};
  std::uint64_t first_sequence = 0;
  std::uint64_t last_sequence = 0;
  // In words, on one line, all but the file and the offset.
  std::string what = {};
};

// What can be read of a log.
struct LogSummary {
  std::uint64_t channels = 0;
  std::uint64_t segments = 0;
  std::uint64_t journals = 0;  // that are needed
  std::uint64_t messages = 0;  // in segments and journals
  std::uint64_t bytes = 0;     // of these messages, as encoded
};

struct LogToolOptions {
  // Called with each finding, in the order in which the log is read.
  std::function<void(const LogFinding&)> on_finding = nullptr;
  // Called now and then with the number of bytes that were read so far.
  std::function<void(std::uint64_t bytes)> on_progress = nullptr;
};

struct LogVerification {
  LogSummary summary = {};
  std::uint64_t damages = 0;  // findings of this kind
  std::uint64_t notices = 0;
};

// Reads everything and checks it: the checkpoint; of each segment the header,
// each message, the index, and what the checkpoint says of it; every round of
// the journals; that sequences have no holes and times never go back. Changes
// nothing, but for the process id in the file LOCK.
absl::StatusOr<LogVerification> VerifyLog(std::string_view log,
                                          const LogToolOptions& options = {});

// Messages that are gone.
struct LogLoss {
  std::string channel = {};
  std::uint64_t first_sequence = 0;
  std::uint64_t last_sequence = 0;
  // They may have been there: nobody can tell whether, or how many. None of
  // these sequences is given out again.
  bool maybe = false;
  std::uint64_t bytes = 0;  // that are damaged; 0 if not known
  // Where they are now: a file within the directory. Empty if they were not
  // there at all.
  std::string kept_in = {};
};

struct LogRepair {
  LogVerification found = {};  // before
  LogVerification after = {};
  // Whether there was damage. If not, nothing was changed.
  bool repaired = false;
  // Copies of the files as they were, a directory within that of the log.
  std::string kept_in = {};
  std::vector<LogLoss> losses = {};
  // Messages that were acknowledged may be gone from the end of a channel, so
  // that the log has a new epoch.
  bool new_epoch = false;
  // Things that could not be found out again, in words, a line each.
  std::vector<std::string> remarks = {};
};

// Makes of a damaged log one that opens, and of which everything that is there
// can be read. What is damaged is dropped, and kept aside in a directory
// "damaged-YYYYmmddTHHMMSS" (UTC); readers get a gap instead, with the reason
// DAMAGED. A log without damage is not touched.
//
// If it fails or is cut off, nothing is lost: it can be run again. Takes room
// on the disk for the damaged files and the journals.
absl::StatusOr<LogRepair> RepairLog(std::string_view log,
                                    const LogToolOptions& options = {});

// A file of messages.
struct LogSegment {
  std::string file = {};
  std::uint64_t first_sequence = 0;
  std::uint64_t last_sequence = 0;
  std::uint64_t bytes = 0;  // of the file
  // Send times of the first and of the last message; nothing if it is damaged.
  std::optional<Timestamp> first_time = {};
  std::optional<Timestamp> last_time = {};
  bool damaged = false;
};

struct LogChannel {
  std::string name = {};
  // The oldest message, and the newest one that was ever there. One past `head`
  // if there is none.
  std::uint64_t first_sequence = 1;
  std::uint64_t head = 0;
  std::uint64_t deleted_head = 0;  // the head when it was last deleted, or 0
  std::uint64_t messages = 0;      // that can be read
  std::uint64_t bytes = 0;         // of these
  std::uint64_t producers = 0;     // that were known at the last checkpoint
  std::vector<LogSegment> segments = {};
};

struct LogJournal {
  std::string file = {};
  bool synced = true;  // each round, before it was acknowledged
  std::uint64_t first_round = 0;
  std::uint64_t rounds = 0;
  std::uint64_t bytes = 0;  // of the file, as far as it is not zeros
};

struct LogOverview {
  // Oldest first, the present one last. None if the checkpoint is lost.
  std::vector<std::uint64_t> epochs = {};
  std::vector<LogChannel> channels = {};           // by name
  std::vector<LogJournal> journals = {};           // that are needed
  std::vector<ProducerInfo> named_producers = {};  // by channel and name
  std::uint64_t idempotency_keys = 0;
  LogVerification found = {};
};

// How the log is made up. Verifies it as well.
absl::StatusOr<LogOverview> InspectLog(std::string_view log,
                                       const LogToolOptions& options = {});

struct LogSelection {
  std::string channel = std::string(kDefaultChannel);
  std::uint64_t from = 1;            // sequence
  std::uint64_t limit = UINT64_MAX;  // most messages
};

// Calls `visit` with each stored message of a channel, in order, and
// `options.on_finding` for what is damaged between them. NOT_FOUND if there is
// no such channel. A message is valid during the call only.
absl::Status ReadStoredMessages(
    std::string_view log, const LogSelection& selection,
    const std::function<void(const Message&)>& visit,
    const LogToolOptions& options = {});

}  // namespace messenger
