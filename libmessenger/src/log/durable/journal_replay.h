// The replay of a log's journals: all rounds that were written since the
// checkpoint, in order, and the one place that decides what of the journals a
// crash has torn, what is damaged, and what is not needed. It changes nothing:
// what becomes of it is up to the sink. That of recovery ends the replay at the
// first damage; the tools take what can still be read.
//
// A round is synced before the next one is written, so a crash tears the last
// one alone; if rounds were not synced (durability `os`), a power cut may have
// lost any of them. In either case nothing counts after the first gap. A gap
// before a round of a synced journal is not from a crash: it is damage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/checkpoint.h"
#include "log/durable/file_system.h"
#include "log/durable/journal.h"
#include "log/durable/log_time.h"
#include "messenger/message.h"

namespace messenger {

// Where the journals end.
struct JournalEnd {
  std::uint64_t next_journal = 1;  // after all that there are
  std::uint64_t next_round = 1;
  TimeAnchor last_time;
  // Rounds that were not synced may be missing, and no epoch has begun since.
  bool needs_new_epoch = false;
};

// The name of a journal, as in what follows: within the directory of the log.
std::string JournalPath(std::uint64_t number);

struct JournalDamage {
  std::string file;  // or the directory of the journals
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;  // from there on; 0 if that says nothing
  std::string what;         // in words, all but the file and the offset
  // That it can have taken from the end of a channel.
  std::uint64_t max_messages = 0;
};

// What a crash explains, and does not count.
struct TornEnd {
  std::string file;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

// The rounds of a journal that count.
struct JournalRounds {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

// More messages than so many bytes can have.
std::uint64_t MaxMessages(std::uint64_t bytes);

// The intact entries of consecutive sequences that a record begins with.
struct IntactEntries {
  std::uint64_t count = 0;
  std::size_t size = 0;
  Timestamp last_time;  // not before the one that was given
  bool time_goes_back = false;
};
IntactEntries FindIntactEntries(const JournalRecord& record,
                                Timestamp not_before);

// What a record says of a named producer, of an idempotency key, or of whose a
// producer is. Nothing if there cannot be such a record.
std::optional<NamedProducers::Kept> ProducerIn(const JournalRecord& record);
std::optional<IdempotencyKey> KeyIn(const JournalRecord& record);
std::optional<ProducerOwner> OwnerIn(const JournalRecord& record);

// Takes what a replay finds, in order. An error ends the replay, which returns
// it. What a reader shows is valid during the call, but for the bytes of
// entries, which are until the end of the journal.
class JournalSink {
 public:
  virtual ~JournalSink() = default;
  JournalSink(const JournalSink&) = delete;
  JournalSink& operator=(const JournalSink&) = delete;

  // A record of what the checkpoint has carried over, which comes before all
  // else. If the checkpoint is lost, these are records like those of a journal.
  virtual absl::Status TakeCarried(const JournalReader& reader,
                                   const JournalRecord& record) = 0;
  virtual absl::Status EndCarried() = 0;

  // A file among the journals that the log does not need. It may be none of the
  // log's: see IsJournalFile.
  virtual absl::Status SkipFile(std::string_view name) = 0;

  // A record of the reader's present round. Its channel, its epoch, its named
  // producer, or its key is one that there can be. An owner is that of the
  // producer of the last message before it.
  virtual absl::Status TakeRecord(const JournalReader& reader,
                                  const JournalRecord& record) = 0;
  // If it returns OK, the replay goes on with what is intact.
  virtual absl::Status TakeDamage(const JournalDamage& damage) = 0;
  virtual absl::Status TakeTornEnd(const TornEnd& torn) = 0;
  virtual absl::Status EndJournal(const JournalReader& reader,
                                  const JournalRounds& rounds) = 0;

 protected:
  JournalSink() = default;
};

// Reads the journals of the log in `directory`, which has this checkpoint. If
// that is lost (null), there is no key: then all journals are read, and rounds
// are believed if all in them fits. The errors, other than those of the sink,
// are those of the disk.
absl::StatusOr<JournalEnd> ReplayJournals(FileSystem& files,
                                          const std::string& directory,
                                          const LogState* checkpoint,
                                          JournalSink& sink);

}  // namespace messenger
