// Draws the charts of views/ui's ChartCard with ECharts, which is fetched only where a page has a chart.
//
// The contract:
//   <div data-chart="tokens" data-source="ID" …>   the canvas; ID names a <script type="application/json"> with
//     {"labels": [RFC 3339 …], "input": [int …], "output": [int …], "limit": int or null}
//   data-style="bar" or "area"    data-unit="minute", "hour", "day" or "month"    data-zone="America/Sao_Paulo"
//   data-label-input, -output, -total, -limit, -empty      the words, translated
//   data-live="URL", data-event="tokens"   an event stream (text/event-stream) whose events of that name carry the same
//     JSON, whole: the chart is redrawn in place. Charts with the same URL share one connection. A lost one shows the
//     card's [data-chart-lost] and is tried again, from 1 s up to 30 s apart; a hidden page keeps none open.
//   <table data-chart-table="canvas id">   the same figures, kept up to date
// Elsewhere in the page, filaiaChart.update(canvasId, json) redraws one, and filaiaChart.connection(canvasId, ok) sets its hint: for a stream read by hx-ext="sse".
(function () {
  "use strict";
  var library = document.currentScript.dataset.echarts;
  var lang = document.documentElement.lang || "pt-BR";
  var dates = lang === "en" ? "en-GB" : lang; // days before months, as the rest of the page writes them
  var charts = new Map(); // canvas → {chart, data}
  var streams = new Map(); // URL → {source, canvases, wait, timer}
  var still = window.matchMedia("(prefers-reduced-motion: reduce)");
  var exact = new Intl.NumberFormat(lang);
  var compact = new Intl.NumberFormat(lang, { notation: "compact", maximumFractionDigits: 1 });

  // ---- the library, once
  var loading;
  function load() {
    loading = loading || new Promise(function (resolve, reject) {
      if (window.echarts) { resolve(); return; }
      var script = document.createElement("script");
      script.src = library;
      script.onload = resolve;
      script.onerror = function () { loading = null; reject(new Error("echarts was not loaded")); };
      document.head.append(script);
    });
    return loading;
  }

  // ---- writing times and colours as the page does
  function clock(canvas, options) {
    try {
      return new Intl.DateTimeFormat(dates, Object.assign({ timeZone: canvas.dataset.zone }, options));
    } catch (unknownZone) {
      return new Intl.DateTimeFormat(dates, Object.assign({ timeZone: "UTC" }, options));
    }
  }
  var axisFormats = {
    minute: { hour: "2-digit", minute: "2-digit" },
    hour: { hour: "2-digit", minute: "2-digit" },
    day: { day: "2-digit", month: "2-digit" },
    month: { month: "short", year: "2-digit" },
  };
  var fullFormats = {
    minute: { dateStyle: "short", timeStyle: "short" },
    hour: { weekday: "short", day: "2-digit", month: "2-digit", hour: "2-digit", minute: "2-digit" },
    day: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
    month: { month: "long", year: "numeric" },
  };
  var tableFormats = {
    minute: { dateStyle: "short", timeStyle: "short" },
    hour: { dateStyle: "short", timeStyle: "short" },
    day: { day: "2-digit", month: "2-digit", year: "numeric" },
    month: { month: "long", year: "numeric" },
  };
  function formatOf(set, canvas) {
    var options = Object.assign({}, set[canvas.dataset.unit] || set.day);
    if (lang === "en" && options.month === "2-digit") options.month = "short";
    if (options.hour) options.hourCycle = "h23";
    return clock(canvas, options);
  }
  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // ---- drawing
  function series(canvas, name, key, data, top) {
    var area = canvas.dataset.style === "area";
    var c = colour("--chart-" + key);
    var s = {
      id: key, name: name, data: data[key], stack: "tokens", type: area ? "line" : "bar",
      color: c, emphasis: { focus: "none" }, animationDurationUpdate: still.matches ? 0 : 300,
    };
    if (area) {
      Object.assign(s, { showSymbol: false, smooth: 0.25, smoothMonotone: "x", lineStyle: { width: 1.75 }, areaStyle: { opacity: 0.22 } });
    } else {
      Object.assign(s, { barMaxWidth: 28, barCategoryGap: "32%", itemStyle: { borderRadius: top ? [3, 3, 0, 0] : 0 } });
    }
    return s;
  }

  // A limit above all figures ends the axis on a round number: a quarter of it, rounded up to 1, 2, 2.5 or 5 tens.
  function axisStep(limit) {
    var quarter = limit / 4, ten = Math.pow(10, Math.floor(Math.log10(quarter)));
    return [1, 2, 2.5, 5, 10].map(function (n) { return n * ten; }).find(function (n) { return n >= quarter; });
  }

  function limitLine(canvas, data) {
    if (data.limit === null || data.limit === undefined) return { data: [] };
    var c = colour("--chart-limit");
    return {
      silent: true, symbol: "none", animation: false,
      lineStyle: { color: c, type: [6, 4], width: 1.5 },
      label: {
        position: "insideEndTop", color: c, fontSize: 12, fontWeight: 600,
        formatter: canvas.dataset.labelLimit + " " + compact.format(data.limit),
      },
      data: [{ yAxis: data.limit }],
    };
  }

  // The tooltip is built of elements: markup with style attributes would be refused by the page's policy.
  function tooltip(canvas, data, index) {
    var box = document.createElement("div");
    box.className = "chart-tip";
    var head = document.createElement("p");
    head.textContent = formatOf(fullFormats, canvas).format(new Date(data.labels[index]));
    box.append(head);
    var input = data.input[index] || 0, output = data.output[index] || 0;
    [["input", canvas.dataset.labelInput, input], ["output", canvas.dataset.labelOutput, output], ["total", canvas.dataset.labelTotal, input + output]]
      .forEach(function (row) {
        var line = document.createElement("div"), dot = document.createElement("i"), word = document.createElement("span"), figure = document.createElement("b");
        dot.className = "chart-dot chart-dot-" + row[0];
        word.textContent = row[1];
        figure.textContent = exact.format(row[2]);
        line.append(dot, word, figure);
        box.append(line);
      });
    return box;
  }

  function option(canvas, data) {
    var family = getComputedStyle(document.body).fontFamily;
    var quiet = colour("--chart-text"), grid = colour("--chart-grid");
    var axis = formatOf(axisFormats, canvas);
    var highest = 0;
    data.labels.forEach(function (_, i) { highest = Math.max(highest, (data.input[i] || 0) + (data.output[i] || 0)); });
    var step = data.limit > highest && data.limit >= 4 ? axisStep(data.limit) : null;
    var input = series(canvas, canvas.dataset.labelInput, "input", data, false);
    input.markLine = limitLine(canvas, data);
    return {
      animation: !still.matches, animationDuration: 350, animationEasing: "cubicOut",
      textStyle: { fontFamily: family, color: quiet },
      aria: { enabled: false },
      grid: { left: 4, right: 8, top: 40, bottom: 4, containLabel: true },
      legend: { show: highest > 0, left: 0, top: 0, itemWidth: 10, itemHeight: 10, itemGap: 18, icon: "roundRect", textStyle: { color: quiet, fontSize: 12.5 }, inactiveColor: grid },
      tooltip: {
        trigger: "axis", confine: true, padding: 0, borderWidth: 0, backgroundColor: "transparent", transitionDuration: 0, className: "chart-tip-frame",
        axisPointer: canvas.dataset.style === "area" ? { type: "line", lineStyle: { color: quiet, type: "solid", opacity: 0.4 } } : { type: "shadow", shadowStyle: { color: colour("--chart-hover") } },
        formatter: function (points) { return tooltip(canvas, charts.get(canvas).data, points[0].dataIndex); },
      },
      xAxis: {
        type: "category", show: highest > 0, data: data.labels, boundaryGap: canvas.dataset.style !== "area",
        axisLine: { lineStyle: { color: grid } }, axisTick: { show: false },
        axisLabel: { color: quiet, fontSize: 12, hideOverlap: true, margin: 10, formatter: function (v) { return axis.format(new Date(v)); } },
      },
      yAxis: {
        type: "value", show: highest > 0, minInterval: 1, splitNumber: 4, max: step ? Math.ceil(data.limit / step) * step : null, interval: step,
        axisLabel: { color: quiet, fontSize: 12, formatter: function (v) { return compact.format(v); } },
        splitLine: { lineStyle: { color: grid } },
      },
      graphic: highest ? [] : [{ id: "empty", type: "text", left: "center", top: "middle", silent: true, style: { text: canvas.dataset.labelEmpty, fill: quiet, font: "14px " + family } }],
      series: [input, series(canvas, canvas.dataset.labelOutput, "output", data, true)],
    };
  }

  function draw(canvas, data) {
    var entry = charts.get(canvas);
    if (!entry) return;
    entry.data = data;
    entry.chart.setOption(option(canvas, data), { replaceMerge: ["graphic"] });
    fillTable(canvas, data);
  }

  function fillTable(canvas, data) {
    var table = document.querySelector('[data-chart-table="' + canvas.id + '"]');
    if (!table) return;
    var when = formatOf(tableFormats, canvas);
    var rows = data.labels.map(function (label, i) {
      var input = data.input[i] || 0, output = data.output[i] || 0;
      var tr = document.createElement("tr");
      [when.format(new Date(label)).replace(",", ""), exact.format(input), exact.format(output), exact.format(input + output)]
        .forEach(function (text, n) {
          var td = tr.insertCell();
          td.textContent = text;
          if (n > 0) td.className = "num";
        });
      return tr;
    });
    table.tBodies[0].replaceChildren.apply(table.tBodies[0], rows);
  }

  // ---- live figures
  function lost(canvas, yes) {
    var hint = canvas.closest("[data-chart-card]");
    hint = hint && hint.querySelector("[data-chart-lost]");
    if (hint) hint.hidden = !yes;
  }

  function open(url) {
    var stream = streams.get(url);
    if (!stream || stream.source || document.hidden) return;
    var source = stream.source = new EventSource(url);
    source.onopen = function () {
      stream.wait = 1000;
      stream.canvases.forEach(function (c) { lost(c, false); });
    };
    // EventSource gives up on an answer that is no stream; so every failure is retried here, ever slower.
    source.onerror = function () {
      close(stream);
      stream.canvases.forEach(function (c) { lost(c, true); });
      stream.timer = setTimeout(function () { open(url); }, stream.wait);
      stream.wait = Math.min(stream.wait * 2, 30000);
    };
    stream.events.forEach(function (name) { listen(stream, name); });
  }

  function listen(stream, name) {
    stream.source.addEventListener(name, function (message) {
      var data;
      try { data = JSON.parse(message.data); } catch (notJSON) { return; }
      stream.canvases.forEach(function (c) { if (c.dataset.event === name) draw(c, data); });
    });
  }

  function close(stream) {
    clearTimeout(stream.timer);
    if (stream.source) stream.source.close();
    stream.source = null;
  }

  function follow(canvas) {
    var url = canvas.dataset.live;
    if (!url) return;
    var stream = streams.get(url);
    if (!stream) {
      stream = { source: null, canvases: new Set(), events: new Set(), wait: 1000, timer: 0 };
      streams.set(url, stream);
    }
    stream.canvases.add(canvas);
    if (!stream.events.has(canvas.dataset.event)) {
      stream.events.add(canvas.dataset.event);
      if (stream.source) listen(stream, canvas.dataset.event);
    }
    open(url);
  }

  document.addEventListener("visibilitychange", function () {
    streams.forEach(function (stream, url) { if (document.hidden) close(stream); else open(url); });
  });
  window.addEventListener("pagehide", function () { streams.forEach(close); });
  window.addEventListener("pageshow", function (e) { if (e.persisted) streams.forEach(function (_, url) { open(url); }); });

  // ---- life of a canvas
  var sizes = new ResizeObserver(function (entries) {
    entries.forEach(function (e) { var c = charts.get(e.target); if (c) c.chart.resize(); });
  });

  function start(canvas) {
    if (charts.has(canvas)) return;
    var source = document.getElementById(canvas.dataset.source);
    var data = source ? JSON.parse(source.textContent) : { labels: [], input: [], output: [], limit: null };
    charts.set(canvas, { chart: window.echarts.init(canvas, null, { renderer: "canvas" }), data: data });
    draw(canvas, data);
    sizes.observe(canvas);
    follow(canvas);
  }

  function forget(canvas) {
    var entry = charts.get(canvas);
    if (!entry) return;
    sizes.unobserve(canvas);
    entry.chart.dispose();
    charts.delete(canvas);
    streams.forEach(function (stream, url) {
      stream.canvases.delete(canvas);
      if (stream.canvases.size === 0) { close(stream); streams.delete(url); }
    });
  }

  function startAll(root) {
    charts.forEach(function (_, canvas) { if (!canvas.isConnected) forget(canvas); });
    var found = Array.from(root.querySelectorAll('[data-chart="tokens"]'));
    if (root.matches && root.matches('[data-chart="tokens"]')) found.push(root);
    if (found.length) load().then(function () { found.forEach(start); }, function () { found.forEach(function (c) { lost(c, true); }); });
  }

  document.addEventListener("filaia:theme", function () {
    charts.forEach(function (entry, canvas) { draw(canvas, entry.data); });
  });
  document.addEventListener("htmx:load", function (e) { startAll(e.target); });
  startAll(document);

  window.filaiaChart = {
    update: function (id, data) { draw(document.getElementById(id), data); },
    connection: function (id, ok) { lost(document.getElementById(id), !ok); },
  };
})();
