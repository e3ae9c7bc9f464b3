#include "reader.h"

#include <utility>

namespace messenger::test {

RecordedRead::RecordedRead(Client& client, std::string reader,
                           ReadOptions options)
    : reading_(std::make_unique<Reading>()) {
  Reading* const reading = reading_.get();
  reading->reader = std::move(reader);
  reading->channel = options.channel;
  reading->start = options.start;
  ReadCallbacks callbacks;
  callbacks.on_joined = [reading](const Joined& joined) {
    reading->joined = joined;
  };
  callbacks.on_message = [reading](const Message& message) {
    reading->events.emplace_back(
        Reading::Seen{.sequence = message.sequence,
                      .send_time = message.send_time,
                      .text = std::string(message.text),
                      .data = std::string(message.data),
                      .content_type = std::string(message.content_type),
                      .producer_id = message.producer_id,
                      .producer_sequence = message.producer_sequence});
  };
  callbacks.on_gap = [reading](const Gap& gap) {
    reading->events.emplace_back(gap);
  };
  callbacks.on_end = [reading](const absl::Status& status) {
    reading->end = status;
  };
  subscription_ = client.Read(std::move(options), std::move(callbacks));
}

Reading RecordedRead::Wait() {
  static_cast<void>(subscription_.Wait());
  return std::move(*reading_);
}

Reader::Reader(std::string name, std::string channel, Habit habit)
    : name_(std::move(name)), channel_(std::move(channel)), habit_(habit) {}

void Reader::Begin(Client& client, ReadOptions options) {
  options.channel = channel_;
  options.start = habit_ == Habit::kResumes && position_
                      ? Start::After(*position_)
                      : Start::Earliest();
  read_ = std::make_unique<RecordedRead>(client, name_, std::move(options));
}

Reading Reader::End() {
  Reading reading = read_->Wait();
  read_.reset();
  if (!reading.joined) return reading;
  position_ = {.epoch = reading.joined->epoch,
               .sequence = reading.joined->next_sequence - 1};
  for (const auto& event : reading.events) {
    if (const auto* seen = std::get_if<Reading::Seen>(&event)) {
      position_->sequence = seen->sequence;
    } else {
      position_->sequence = std::get<Gap>(event).next - 1;
    }
  }
  return reading;
}

}  // namespace messenger::test
