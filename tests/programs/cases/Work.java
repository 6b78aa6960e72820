// SPDX-License-Identifier: MIT
// Workload: the JVM calls malloc for its compilers, class data, threads, direct buffers, zlib and string tables.
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Work {
	static String hex(byte[] data) throws Exception {
		StringBuilder text = new StringBuilder();
		for (byte b : MessageDigest.getInstance("SHA-256").digest(data)) text.append(String.format("%02x", b));
		return text.toString();
	}

	static String squeeze(int seed) throws Exception {
		Random random = new Random(seed);
		StringBuilder text = new StringBuilder();
		for (int i = 0; i < 20000; i++) text.append("row ").append(random.nextInt(500)).append('\n');
		byte[] input = text.toString().getBytes("UTF-8"), packed = new byte[input.length + 100], back = new byte[input.length];
		Deflater deflater = new Deflater();
		deflater.setInput(input);
		deflater.finish();
		int n = deflater.deflate(packed);
		deflater.end();
		Inflater inflater = new Inflater();
		inflater.setInput(packed, 0, n);
		inflater.inflate(back);
		inflater.end();
		if (!java.util.Arrays.equals(input, back)) throw new IllegalStateException("zlib changed the data");
		return hex(back) + " " + n;
	}

	static long directBuffers(int seed) {
		Random random = new Random(seed);
		ByteBuffer[] live = new ByteBuffer[64];
		long sum = 0;
		for (int i = 0; i < 2000; i++) {
			int slot = random.nextInt(live.length);
			if (live[slot] != null) sum += live[slot].getInt(0);
			live[slot] = ByteBuffer.allocateDirect(64 + random.nextInt(100000));
			live[slot].putInt(0, i);
		}
		return sum;
	}

	static String words(int n) {
		Random random = new Random(n);
		Map<String, Integer> count = new TreeMap<>();
		for (int i = 0; i < n; i++) count.merge("w" + random.nextInt(9000), 1, Integer::sum);
		return IntStream.range(0, 5).mapToObj(i -> count.keySet().stream().skip(i * 1000).findFirst().get())
			.map(k -> k + "=" + count.get(k)).collect(Collectors.joining(","));
	}

	public static void main(String[] args) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(8);
		List<Future<String>> results = new ArrayList<>();
		for (int i = 0; i < 24; i++) {
			int seed = i;
			results.add(pool.submit(() -> squeeze(seed) + " " + directBuffers(seed)));
		}
		for (Future<String> f : results) System.out.println(f.get());
		pool.shutdown();
		for (int i = 0; i < 300; i++) {
			Thread t = new Thread(() -> words(9500));
			t.start();
			t.join();
		}
		System.out.println(words(400000));
	}
}
