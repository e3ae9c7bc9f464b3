// A server inside a program, which reads its own log without a TCP connection.
#include <messenger/server.h>

#include <iostream>

int main() {
  const auto server = messenger::Server::Start({.listen = "127.0.0.1:0"});
  if (!server.ok()) {
    std::cerr << server.status() << '\n';
    return 1;
  }
  std::cout << "listening on port " << (*server)->port() << '\n';

  messenger::Client client = (*server)->LocalClient();
  const messenger::Subscription subscription = client.Read(
      {.channel = "temperature", .limit = 3},
      {.on_joined =
           [&client](const messenger::Joined&) {
             for (const char* text : {"20.5", "21.0", "21.5"}) {
               client.SendAsync({.channel = "temperature", .text = text});
             }
           },
       .on_message =
           [](const messenger::Message& message) {
             std::cout << message.sequence << ": " << message.text << " °C\n";
           }});
  return subscription.Wait().ok() ? 0 : 1;
}
