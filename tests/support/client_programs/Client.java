// The JDK's HttpClient with its defaults, which offer to upgrade to HTTP/2:
// `java Client.java URL KEY SIZE`; prints what it got as JSON.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Client {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static int ask(String url, String key, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/v1/classify"))
            .header("Content-Type", "application/json")
            .header("Authorization", "Bearer " + key)
            .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        return CLIENT.send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
    }

    public static void main(String[] given) throws Exception {
        String small = "{\"texts\": [\"good film\"]}";
        String large = "{\"texts\": [\"" + "x".repeat(Integer.parseInt(given[2])) + "\"]}";
        System.out.printf("{\"small\": [%d, %d, %d], \"large\": %d, \"unauthorized\": %d, \"after\": %d}%n",
            ask(given[0], given[1], small), ask(given[0], given[1], small), ask(given[0], given[1], small),
            ask(given[0], given[1], large), ask(given[0], "another", large), ask(given[0], given[1], small));
    }
}
