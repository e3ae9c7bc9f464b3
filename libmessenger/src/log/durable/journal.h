// The journal: what was appended since the last checkpoint, in the order of the
// commits, so that a commit is one write and one sync for all channels. The
// format is in doc/log_format.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/file_system.h"
#include "log/durable/log_time.h"
#include "log/idempotency_keys.h"
#include "log/named_producers.h"
#include "log/producer_table.h"

namespace messenger {

// Journals of a log are numbered. They are checked with the log's key, so that
// nothing that a message contains can be mistaken for a round.
struct JournalId {
  std::uint64_t key = 0;
  std::uint64_t number = 0;
};

inline constexpr std::size_t kJournalHeaderSize = 32;

std::string JournalFileName(std::uint64_t number);
std::optional<std::uint64_t> ParseJournalFileName(std::string_view name);

// What a checkpoint carries over (see Checkpointer) is in a file like a journal
// that goes with the checkpoint's first journal. It has this number, by which
// it can be written and read as a journal; its name has a suffix of its own.
std::uint64_t CarriedNumber(std::uint64_t first_journal);
// The first journal with which it goes, if it is the name of such a file.
std::optional<std::uint64_t> ParseCarriedFileName(std::string_view name);

// Whether a file that has this name among the journals is one of both kinds.
bool IsJournalFile(std::string_view name);

// Removes journals and what goes with them, up to those with this number, which
// stay.
absl::Status RemoveJournalsBefore(FileSystem& files,
                                  const std::string& directory,
                                  std::uint64_t number);

// What the header of a journal says.
struct JournalTraits {
  // Each round is synced before the next one is written.
  bool synced = true;
  // All rounds in the journals before it are on stable storage: the log was
  // closed.
  bool follows_close = false;
};

struct JournalRecord {
  enum class Type : std::uint8_t {
    kEntries = 1,
    kDeletion = 2,
    kEpoch = 3,
    // In logs of version 3.
    kProducer = 4,
    kProducerDeletion = 5,
    kIdempotencyKey = 6,
    kProducerOwner = 7,
  };
  Type type;
  std::string_view channel;
  std::uint64_t number;  // first sequence, head, epoch, generation, sequence
  std::string_view entries;  // or what table_coding.h encodes
};

// One commit round: records that become durable together.
class JournalRound {
 public:
  JournalRound() { Clear(); }

  // After it, AddEntries needs no memory for entries of `size` bytes together.
  void MakeRoom(std::size_t size);

  // `entries` are whole, the first with this sequence.
  void AddEntries(std::string_view channel, std::uint64_t first_sequence,
                  std::string_view entries);
  // The channel was deleted when this was its head.
  void AddDeletion(std::string_view channel, std::uint64_t head);
  // From here on the log has another epoch.
  void AddEpoch(std::uint64_t epoch);
  // The named producer was opened, and is like this now, or was deleted.
  void AddProducer(const NamedProducers::Kept& kept);
  void AddProducerDeletion(const NamedProducers::Kept& deleted);
  // Of a message that is in the round.
  void AddIdempotencyKey(const IdempotencyKey& key);
  // Of the producer of the last message that was added.
  void AddProducerOwner(const ProducerOwner& owner);

  bool empty() const;
  std::size_t size() const { return bytes_.size(); }
  void Clear();

 private:
  friend class JournalWriter;
  void AddRecord(const JournalRecord& record);

  std::string bytes_;  // with room for the header
};

// Thread safety: none.
class JournalWriter {
 public:
  // An empty journal on stable storage.
  static absl::StatusOr<std::unique_ptr<JournalWriter>> Create(
      FileSystem& files, const std::string& directory, const JournalId& id,
      JournalTraits traits = {});

  // Writes `round`, as number `round_number`. After an error nothing of it
  // counts, and the next round takes its place; after UNKNOWN it may be found
  // all the same when the log is opened.
  absl::Status Write(JournalRound& round, std::uint64_t round_number,
                     const TimeAnchor& time);
  // What was written is on stable storage.
  absl::Status Sync();

  // After a Write that has failed: whether one of so many bytes would succeed
  // now. They are zeros where the next round will be.
  absl::Status MakeRoom(std::uint64_t bytes);

  // Takes back the last round, as well as it can be done: for when Sync fails.
  absl::Status CutLast();

  // No more rounds will be written: makes sure that nothing follows the last
  // one.
  absl::Status Close();

  std::uint64_t number() const { return id_.number; }
  std::uint64_t size() const { return size_; }

 private:
  JournalWriter(std::unique_ptr<File> file, const JournalId& id);

  const std::unique_ptr<File> file_;
  const JournalId id_;
  std::uint64_t size_;
  std::uint64_t last_size_;  // before the last round
  std::uint64_t allocated_;
  bool has_remains_ = false;  // maybe, after the last round
};

struct JournalRoundInfo {
  std::uint64_t number = 0;
  TimeAnchor time;
  std::uint64_t offset = 0;  // in the file
};

// Reads a journal. Holds all of it in memory.
//
// Thread safety: none.
class JournalReader {
 public:
  // An error only if the file cannot be read: a damaged header is a journal
  // with damage at its beginning.
  static absl::StatusOr<JournalReader> Open(FileSystem& files,
                                            const std::string& directory,
                                            const JournalId& id);
  // For when the key is lost: takes what has the form of a round for one, and
  // finds none after damage. Whoever reads it has to check the entries.
  static absl::StatusOr<JournalReader> OpenWithoutKey(
      FileSystem& files, const std::string& directory, std::uint64_t number);

  // Moves to the next round; false at the end and at damage.
  bool Next();
  // After Next has returned false at damage: makes the next intact round after
  // it the one that Next moves to. False if there is none.
  bool SkipDamage();
  const JournalRoundInfo& round() const { return round_; }
  // The last round that Next has moved to, as it is in the file; empty if there
  // was none.
  std::string_view round_bytes() const {
    return std::string_view(bytes_).substr(
        round_.offset, round_.offset == 0 ? 0 : end_ - round_.offset);
  }
  // The records of the current round, in order, until `visit` returns an error.
  absl::Status ForEachRecord(
      absl::FunctionRef<absl::Status(const JournalRecord&)> visit) const;

  // After Next has returned false. Where the intact rounds end, how much after
  // it is not empty, and whether an intact round follows that: then it is
  // damage, else the last round may be torn.
  std::uint64_t end() const { return end_; }
  std::uint64_t bytes_after_end() const;
  bool RoundFollowsDamage() const;

  std::uint64_t number() const { return id_.number; }
  // Meaningless if the header is damaged.
  const JournalTraits& traits() const { return traits_; }
  bool synced() const { return traits_.synced; }
  bool header_intact() const { return header_intact_; }

 private:
  JournalReader(std::string bytes, const JournalId& id, bool has_key);
  // The size of the round at `offset`; nothing if there is no intact one.
  std::optional<std::size_t> CheckRound(std::uint64_t offset) const;
  // Where the first intact round after the end begins.
  std::optional<std::uint64_t> FindRound() const;

  std::string bytes_;
  JournalId id_;
  bool has_key_;
  bool header_intact_ = false;
  JournalTraits traits_;
  std::uint64_t end_ = 0;
  JournalRoundInfo round_;
  std::string_view records_;  // of the current round
};

}  // namespace messenger
